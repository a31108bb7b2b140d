"""The response to a request: which blocks it has, why it ends, and the events of its stream."""

from collections.abc import Iterator
from typing import cast

from dragoman.core.accumulate import accumulate
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import Block, JSONObject
from dragoman.core.value_object import replace, value_object
from dragoman.simulator.answers.compose import compose
from dragoman.simulator.answers.thinking import is_redacted, is_shown, thinking_block, thinking_text
from dragoman.simulator.blocks import StreamedBlock, apply_stop_sequences, cut_blocks, split_blocks
from dragoman.simulator.cache import CacheUsage
from dragoman.simulator.faults import Fault
from dragoman.simulator.json_values import int_of, list_of, text_of
from dragoman.simulator.request import ApiRequest, Prompt
from dragoman.simulator.rules.signatures import mismatches
from dragoman.simulator.tokens import split_text


@value_object
class ScriptedMessage:
    """A complete response, ready to be sent.

    Attributes:
        start: The `message` of `message_start`, with the input side of usage.
        blocks: Its content blocks.
        stop_reason: Why it ends.
        stop_sequence: The stop sequence that ended it.
    """

    start: JSONObject
    blocks: tuple[StreamedBlock, ...]
    stop_reason: str
    stop_sequence: str | None

    def events(self) -> Iterator[MessageEvent]:
        """Yield the events of the stream, in order."""
        yield MessageStart({"type": "message_start", "message": self.start})
        for index, block in enumerate(self.blocks):
            yield BlockStart(index, {"type": "content_block_start", "index": index, "content_block": block.start})
            for delta in block.deltas:
                yield BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta})
            yield BlockStop(index, {"type": "content_block_stop", "index": index})
        end: JSONObject = {
            "stop_reason": None if self.stop_reason == "null" else self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": _stop_details(self.stop_reason),
        }
        yield MessageDelta({"type": "message_delta", "delta": end, "usage": self.usage()})
        yield MessageStop({"type": "message_stop"})

    def accumulated(self) -> JSONObject:
        """Return the response that is not streamed: the same events, accumulated."""
        message = cast("JSONObject", accumulate(self.events()).message)
        for block in cast("list[Block]", message["content"]):
            # Input that `max_tokens` cut is not JSON, and only a stream can contain it.
            if isinstance(block.get("input"), str):
                block["input"] = {}
        return message

    def usage(self) -> JSONObject:
        """Return the cumulative usage, input side included, as the API reports it at the end."""
        start = cast("JSONObject", self.start["usage"])
        thinking = sum(block.tokens for block in self.blocks if "thinking" in text_of(block.start.get("type")))
        searches = sum(block.start.get("name") == "web_search" for block in self.blocks)
        usage: JSONObject = {
            "input_tokens": start["input_tokens"],
            "cache_creation_input_tokens": start["cache_creation_input_tokens"],
            "cache_read_input_tokens": start["cache_read_input_tokens"],
            "output_tokens": max(sum(block.tokens for block in self.blocks), 1),
            "output_tokens_details": {"thinking_tokens": thinking},
        }
        if searches:
            usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
        return usage


def build_message(request: ApiRequest, prompt: Prompt, fault: Fault, cache: CacheUsage, id_: str) -> ScriptedMessage:
    """Return the response to a request.

    Args:
        request: The request.
        prompt: The end of its conversation.
        fault: May set the content, and end the response early.
        cache: The input tokens.
        id_: The message id.
    """
    sequences = [text for text in map(text_of, list_of(request.body.get("stop_sequences"))) if text]
    content = [dict(cast("Block", block)) for block in fault.content] or compose(request, prompt)
    content, sequence = apply_stop_sequences(content, sequences)
    has_calls = any(block.get("type") == "tool_use" for block in content)
    reason = "stop_sequence" if sequence else "tool_use" if has_calls else "end_turn"
    blocks = (*_thinking_blocks(request, prompt), *split_blocks(content))
    message = ScriptedMessage(_message_start(request, cache, id_), blocks, reason, sequence)
    return _end_early(message, request, fault)


def _thinking_blocks(request: ApiRequest, prompt: Prompt) -> Iterator[StreamedBlock]:
    text, redacted = thinking_text(request, prompt), is_redacted(prompt)
    if text or redacted:
        shown = text if is_shown(request) and not redacted else ""
        block = thinking_block(request, shown, redacted=redacted)
        yield from split_blocks([block], hidden_tokens=0 if shown else len(split_text(text)))


def _end_early(message: ScriptedMessage, request: ApiRequest, fault: Fault) -> ScriptedMessage:
    """Return the message within `max_tokens`, and ended with the fault's stop reason."""
    cut = cut_blocks(message.blocks, int_of(request.body.get("max_tokens")) or 0)
    if cut is not None:
        message = replace(message, blocks=cut, stop_reason="max_tokens", stop_sequence=None)
    if fault.stop_reason:
        blocks = message.blocks if fault.after is None else _first_deltas(message.blocks, fault.after)
        message = replace(message, blocks=blocks, stop_reason=fault.stop_reason, stop_sequence=None)
    return message


def _first_deltas(blocks: tuple[StreamedBlock, ...], count: int) -> tuple[StreamedBlock, ...]:
    """Return the blocks up to a number of content deltas. Hidden thinking does not count."""
    cut = cut_blocks([replace(block, hidden_tokens=0) for block in blocks], count)
    return blocks if cut is None else cut


def _message_start(request: ApiRequest, cache: CacheUsage, id_: str) -> JSONObject:
    usage: JSONObject = {
        **cache.usage(),
        "output_tokens": 1,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    message: JSONObject = {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": request.model.id,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    if "block_binding" in request.thinking:
        message["input_transformations"] = [
            {"type": "thinking_dropped", "path": mismatch.path, "reason": mismatch.reason}
            for mismatch in mismatches(request)
        ]
    return message


def _stop_details(stop_reason: str) -> JSONObject | None:
    if stop_reason != "refusal":
        return None
    return {"type": "refusal", "category": "general_harms", "explanation": "The simulated request was refused."}
