"""Events to the final message: the only accumulator. A plain answer is the fold of a streamed one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, Restarted
from dragoman.core.messages import JSON, Block, FinalMessage, JSONObject, Usage, parse_arguments
from dragoman.core.value_object import value_object

_TEXT_OF_DELTA: Mapping[object, str] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_BESIDE_THE_MESSAGE = frozenset({"type", "delta", "usage"})


@value_object
class AccumulatedMessage:
    """A whole answer.

    Attributes:
        message: The final message.
        arguments: The input of each tool call as the model wrote it (JSON text), by the block's place in `content`.
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
        self._blocks: dict[int, _Growing] = {}
        self._result: AccumulatedMessage | None = None

    def add(self, event: Event) -> Event:
        """Add the next event.

        Returns:
            The event to pass on. A `BlockStop` carries the finished block, a `MessageDelta` the message up to here. Any
            other event is returned as it is.

        Raises:
            UpstreamFailed: A `MessageDelta` came before its `MessageStart`.
        """
        match event:
            case BlockDelta():  # the most frequent event; matching its fields would double the time of this method
                self._result = None
                if block := self._blocks.get(event.index):
                    block.extend(cast("JSONObject", event.raw["delta"]))
            case BlockStart(index, raw):
                self._result = None
                self._blocks[index] = _Growing(cast("Block", raw["content_block"]))
            case BlockStop(index, raw):
                if block := self._blocks.get(index):
                    return BlockStop(index, raw, block.whole())
            case MessageStart(raw):
                self._result = None
                self._message = cast("FinalMessage", dict(cast("JSONObject", raw["message"])))
            case MessageDelta(raw):
                self._result = None
                self._finish(raw)
                return MessageDelta(raw, self.result())
            case Restarted():
                self._message, self._blocks, self._result = None, {}, None
            case _:
                pass
        return event

    def result(self) -> AccumulatedMessage:
        """Return the message up to here.

        Raises:
            UpstreamFailed: No message was started.
        """
        if self._result is None:
            self._result = self._folded()
        return self._result

    def _folded(self) -> AccumulatedMessage:
        if self._message is None:
            raise UpstreamFailed("Claude's answer never began.")
        blocks = list(self._blocks.values())  # blocks come one after the other
        content = [block.whole() for block in blocks]
        arguments = {index: block.written for index, block in enumerate(blocks) if block.written}
        return AccumulatedMessage(cast("FinalMessage", {**self._message, "content": content}), arguments)

    def _finish(self, raw: JSONObject) -> None:
        if self._message is None:
            raise UpstreamFailed("Claude's answer ended before it began.")
        self._message.update(cast("FinalMessage", {k: v for k, v in raw.items() if k not in _BESIDE_THE_MESSAGE}))
        self._message.update(cast("FinalMessage", raw.get("delta") or {}))
        counted = {k: v for k, v in cast("JSONObject", raw.get("usage") or {}).items() if v is not None}
        self._message["usage"] = cast("Usage", {**self._message.get("usage", {}), **counted})


class _Growing:
    """A block and its pieces. They are joined once, when the block is asked for: a response has thousands.

    Attributes:
        written: The JSON text of a tool call's arguments, once `whole` was called.
    """

    __slots__ = ("_citations", "_pieces", "_start", "_whole", "written")

    def __init__(self, start: Block) -> None:
        self._start = start
        self._pieces: defaultdict[str, list[JSON]] = defaultdict(list)
        self._citations: list[JSON] = []
        self._whole: Block | None = None
        self.written = ""

    def extend(self, delta: JSONObject) -> None:
        self._whole = None
        if key := _TEXT_OF_DELTA.get(delta.get("type")):
            self._pieces[key].append(delta[key])
        elif "citation" in delta:
            self._citations.append(delta["citation"])
        else:
            self._guess(delta)

    def _guess(self, delta: JSONObject) -> None:
        for key, value in delta.items():
            if isinstance(value, str) and key != "type":
                self._pieces[key].append(value)
            elif value is not None and key != "type":
                self._start = {**self._start, key: value}

    def whole(self) -> Block:
        if self._whole is None:
            self._whole = self._joined()
        return self._whole

    def _joined(self) -> Block:
        block = dict(self._start)
        for key, pieces in self._pieces.items():
            joined = "".join(cast("list[str]", pieces))
            if key != "partial_json":
                block[key] = f"{block.get(key) or ''}{joined}"
            elif joined:
                self.written = joined
                block["input"] = parse_arguments(joined)
        if self._citations:
            known = block.get("citations")
            block["citations"] = [*(known if isinstance(known, list) else ()), *self._citations]
        return block


def accumulate(events: Iterable[Event]) -> AccumulatedMessage:
    """The whole answer of a finished sequence of events."""
    folder = MessageAccumulator()
    for event in events:
        folder.add(event)
    return folder.result()


def counting(answer: AccumulatedMessage, earlier: AccumulatedMessage) -> AccumulatedMessage:
    """The same answer, its usage counting an earlier attempt at it as well: both were paid for."""
    usage = _sum(cast("JSON", earlier.message.get("usage", {})), cast("JSON", answer.message.get("usage", {})))
    return replace(answer, message=cast("FinalMessage", {**answer.message, "usage": usage}))


def _sum(one: JSON, other: JSON) -> JSON:
    """Figures added up, key by key; of what is no figure, the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: _sum(one.get(key), value) for key, value in other.items()}}
    if isinstance(one, int) and (isinstance(other, int) or other is None):
        return one + (other or 0)
    return other
