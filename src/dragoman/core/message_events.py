"""The events of a message that is complete: what `dragoman.core.accumulate` does, backwards."""

from typing import cast

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSON, Block, JSONObject

_DELTA_TYPES = {"text": "text_delta", "thinking": "thinking_delta", "signature": "signature_delta"}
_ENDS = ("stop_reason", "stop_sequence", "stop_details")
"""Fields of a message that are known at its end."""


def message_events(accumulated: AccumulatedMessage) -> list[Event]:
    """Return events that accumulate to a message: one delta for each text, in place of many small ones.

    Args:
        accumulated: The message, and the arguments of its tool calls as Claude wrote them.
    """
    message = cast("JSONObject", dict(accumulated.message))
    ends: JSONObject = {name: message[name] for name in _ENDS if name in message}
    start: JSONObject = {**message, **dict.fromkeys(ends), "content": []}
    events: list[Event] = [MessageStart({"type": "message_start", "message": start})]
    for index, block in enumerate(accumulated.message["content"]):
        events += _block_events(index, block, accumulated.arguments.get(index, ""))
    usage = message.get("usage") or {}
    events.append(MessageDelta({"type": "message_delta", "delta": ends, "usage": usage}))
    events.append(MessageStop({"type": "message_stop"}))
    return events


def _block_events(index: int, block: Block, arguments: str) -> list[Event]:
    start = dict(block)
    deltas: list[JSONObject] = []
    if arguments:
        start["input"] = {}
        deltas.append({"type": "input_json_delta", "partial_json": arguments})
    deltas += [{"type": "citations_delta", "citation": citation} for citation in _taken_list(start, "citations")]
    for field, kind in _DELTA_TYPES.items():
        if block.get("type") in {"text", "thinking"} and isinstance(text := block.get(field), str) and text:
            start[field] = ""
            deltas.append({"type": kind, field: text})
    name: JSONObject = {"type": "content_block_start", "index": index, "content_block": start}
    return [
        BlockStart(index, name),
        *(BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        BlockStop(index, {"type": "content_block_stop", "index": index}),
    ]


def _taken_list(block: Block, name: str) -> list[JSON]:
    """Return a list that is not empty, and leave an empty one in the block."""
    value = block.get(name)
    if not isinstance(value, list) or not value:
        return []
    block[name] = []
    return value
