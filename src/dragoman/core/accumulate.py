"""Accumulate the events of a response to the final message, and its usage.

A response that is not streamed is the accumulation of a streamed one: there is one path for both.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, Restarted
from dragoman.core.messages import JSON, Block, FinalMessage, JSONObject, Usage, parse_arguments
from dragoman.core.value_object import replace, value_object

_FIELD_BY_DELTA_TYPE: Mapping[object, str] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_NOT_MESSAGE_FIELDS = frozenset({"type", "delta", "usage"})
"""Fields of a `message_delta` event that do not become fields of the message as they are."""


@value_object
class AccumulatedMessage:
    """The message up to some event.

    Attributes:
        message: The final message, as a call without streaming returns it.
        arguments: The input of each tool call as the model wrote it (JSON text), by the block's index in `content`.
    """

    message: FinalMessage
    arguments: Mapping[int, str]


class MessageAccumulator:
    """Accumulates the events of one response. It is the only place that joins deltas.

    Unknown fields survive: a delta of an unknown type changes the fields of its block that it names. Strings are
    appended, as by all known deltas; any other value replaces the old one. `result` may be called at any time, also
    when the response broke off.
    """

    def __init__(self) -> None:
        self._message: FinalMessage | None = None
        self._blocks: dict[int, _Block] = {}
        self._result: AccumulatedMessage | None = None

    def add(self, event: Event) -> Event:
        """Add the next event.

        Returns:
            The event to pass on. A `BlockStop` carries the finished block, a `MessageDelta` the message up to here. Any
            other event is returned as it is.

        Raises:
            UpstreamFailed: A `MessageDelta` came before its `MessageStart`.
        """
        if type(event) is BlockDelta:  # the most frequent event: no further calls
            self._result = None
            if block := self._blocks.get(event.index):
                delta: Any = event.raw["delta"]
                block.deltas.append(delta)
            return event
        if type(event) is BlockStop:  # comparing types is faster than patterns: this is done for each event
            if block := self._blocks.get(event.index):
                return BlockStop(event.index, event.raw, block.result())
        elif type(event) is BlockStart:
            self._result = None
            content: Any = event.raw["content_block"]
            self._blocks[event.index] = _Block(content)
        elif type(event) is MessageDelta:
            self._result = None
            self._update_message(event.raw)
            return MessageDelta(event.raw, self.result())
        elif type(event) is MessageStart:
            self._result = None
            message: Any = event.raw["message"]
            self._message = dict(message)  # type: ignore[assignment] # the event has been checked
        elif type(event) is Restarted:
            self._message, self._blocks, self._result = None, {}, None
        return event

    def result(self) -> AccumulatedMessage:
        """Return the message up to here.

        Raises:
            UpstreamFailed: No message was started.
        """
        if self._result is None:
            if self._message is None:
                raise UpstreamFailed("Claude's response never began.")
            blocks = list(self._blocks.values())  # the API sends blocks in the order of their indexes
            content = [block.result() for block in blocks]
            arguments = {index: block.arguments for index, block in enumerate(blocks) if block.arguments}
            message = cast("FinalMessage", {**self._message, "content": content})
            self._result = AccumulatedMessage(message, arguments)
        return self._result

    def _update_message(self, raw: JSONObject) -> None:
        if self._message is None:
            raise UpstreamFailed("Claude's response ended before it began.")
        fields: Any = {key: value for key, value in raw.items() if key not in _NOT_MESSAGE_FIELDS}
        delta: Any = raw.get("delta") or {}
        self._message |= fields
        self._message |= delta
        self._message["usage"] = merge_usage(self._message.get("usage"), raw.get("usage"))


class _Block:
    """A content block and its deltas. They are joined only when the result is read: a response has thousands.

    Attributes:
        deltas: The deltas, in order. The accumulator appends them.
        arguments: The JSON text of a tool call's input, once `result` was called.
    """

    __slots__ = ("_joined_count", "_result", "_start", "arguments", "deltas")

    def __init__(self, start: Block) -> None:
        self.arguments = ""
        self.deltas: list[dict[str, Any]] = []  # checked when they were read
        self._start = start
        self._joined_count = 0
        self._result: Block | None = None

    def result(self) -> Block:
        if self._result is None or self._joined_count != len(self.deltas):
            self._result = self._joined()
            self._joined_count = len(self.deltas)
        return self._result

    def _joined(self) -> Block:
        block = dict(self._start)
        pieces: defaultdict[str, list[str]] = defaultdict(list)
        citations: list[JSON] = []
        kinds = {delta.get("type") for delta in self.deltas}
        only = _FIELD_BY_DELTA_TYPE.get(kinds.pop()) if len(kinds) == 1 else None
        if only is not None:  # as in most blocks: no step for each delta
            pieces[only] = [delta[only] for delta in self.deltas]
        else:
            for delta in self.deltas:
                if field := _FIELD_BY_DELTA_TYPE.get(delta.get("type")):
                    pieces[field].append(delta[field])
                elif "citation" in delta:
                    citations.append(delta["citation"])
                else:
                    _apply_unknown(delta, block, pieces)
        for field, texts in pieces.items():
            text = "".join(texts)
            if field != "partial_json":
                block[field] = f"{block.get(field) or ''}{text}"
            elif text:
                self.arguments = text
                block["input"] = parse_arguments(text)
        if citations:
            first = block.get("citations")
            block["citations"] = [*(first if isinstance(first, list) else ()), *citations]
        return block


def _apply_unknown(delta: JSONObject, block: Block, pieces: defaultdict[str, list[str]]) -> None:
    for key, value in delta.items():
        if isinstance(value, str) and key != "type":
            pieces[key].append(value)
        elif value is not None and key != "type":
            block[key] = value


def accumulate(events: Iterable[Event]) -> AccumulatedMessage:
    """Return the message of a complete sequence of events.

    Raises:
        UpstreamFailed: The events contain no message.
    """
    accumulator = MessageAccumulator()
    for event in events:
        accumulator.add(event)
    return accumulator.result()


def merge_usage(usage: Usage | None, update: JSON) -> Usage:
    """Return the usage of one API call after a further report on the same call.

    The API reports usage in `message_start` and again in `message_delta`. A later count replaces an earlier one; a
    count that is null or missing in the later report stays as it was.

    Args:
        usage: The usage so far; it is not changed.
        update: `usage` of an event. Anything but an object is ignored.
    """
    if not isinstance(update, dict):
        return {**usage} if usage else {}
    if None in update.values():
        update = {key: value for key, value in update.items() if value is not None}
    reported: Any = {**usage, **update} if usage else {**update}
    merged: Usage = reported  # as the API documents it
    return merged


class ApiCalls:
    """The usage of each API call of a run. Feed it every event that a backend yields.

    The price of a token may depend on the call, so a cost is computed from the calls and not from their sum. An agent's
    calls are reported as one.

    Attributes:
        usages: The usage of each call, as far as the API has reported it, in the order of the calls.
    """

    def __init__(self) -> None:
        self.usages: list[Usage] = []

    def add(self, event: Event) -> None:
        """Add an event. A message that starts again, after its response broke off, is a further call."""
        if type(event) is MessageStart:
            message = event.raw.get("message")
            self.usages.append(merge_usage(None, message.get("usage") if isinstance(message, dict) else None))
        elif type(event) is MessageDelta and self.usages:
            self.usages[-1] = merge_usage(self.usages[-1], event.raw.get("usage"))


def add_usage(earlier: Usage, later: Usage) -> Usage:
    """Return the sum of the usage of two API calls.

    Whole numbers are added, also those in nested objects. Any other value is that of the later call, or of the earlier
    one if the later has none.
    """
    return cast("Usage", _sum(cast("JSON", earlier), cast("JSON", later)))


def with_earlier_usage(response: AccumulatedMessage, earlier: AccumulatedMessage) -> AccumulatedMessage:
    """Return a response whose usage includes that of an earlier attempt: both were paid for."""
    usage = add_usage(earlier.message.get("usage", {}), response.message.get("usage", {}))
    return replace(response, message=cast("FinalMessage", {**response.message, "usage": usage}))


def _sum(earlier: JSON, later: JSON) -> JSON:
    if isinstance(earlier, dict) and isinstance(later, dict):
        return {**earlier, **{key: _sum(earlier.get(key), value) for key, value in later.items()}}
    if isinstance(earlier, int) and (isinstance(later, int) or later is None):
        return earlier + (later or 0)
    return later
