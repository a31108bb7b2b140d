"""Events to the final message: the only accumulator. A plain answer is the fold of a streamed one."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, Event, MessageDelta, MessageStart, Restarted
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
    """Accumulates the events of one answer.

    What is unknown is kept as far as it can be: a delta of a new kind changes the fields of its block that it names;
    texts are appended, as by all deltas that are known, anything else takes the place of what was there. `result` may
    be asked at any time, also of an answer that broke off.
    """

    def __init__(self) -> None:
        self._message: FinalMessage | None = None
        self._blocks: dict[int, _Growing] = {}
        self._result: AccumulatedMessage | None = None

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._result = None
        match event:
            case BlockDelta():  # most are: a pattern that takes it apart costs as much as all the rest
                if block := self._blocks.get(event.index):
                    block.extend(cast("JSONObject", event.raw["delta"]))
            case BlockStart(index, raw):
                self._blocks[index] = _Growing(cast("Block", raw["content_block"]))
            case MessageStart(raw):
                self._message = cast("FinalMessage", dict(cast("JSONObject", raw["message"])))
            case MessageDelta(raw):
                self._finish(raw)
            case Restarted():
                self._message, self._blocks = None, {}
            case _:
                pass

    def result(self) -> AccumulatedMessage:
        """The whole answer.

        Raises:
            UpstreamFailed: No message was ever started.
        """
        if self._result is None:
            self._result = self._folded()
        return self._result

    def _folded(self) -> AccumulatedMessage:
        if self._message is None:
            raise UpstreamFailed("Claude's answer never began.")
        blocks = list(self._blocks.values())  # they come one after the other
        content = [block.whole() for block in blocks]
        arguments = {place: written for place, block in enumerate(blocks) if (written := block.joined("partial_json"))}
        return AccumulatedMessage(cast("FinalMessage", {**self._message, "content": content}), arguments)

    def _finish(self, raw: JSONObject) -> None:
        if self._message is None:
            raise UpstreamFailed("Claude's answer ended before it began.")
        self._message.update(cast("FinalMessage", {k: v for k, v in raw.items() if k not in _BESIDE_THE_MESSAGE}))
        self._message.update(cast("FinalMessage", raw.get("delta") or {}))
        counted = {k: v for k, v in cast("JSONObject", raw.get("usage") or {}).items() if v is not None}
        self._message["usage"] = cast("Usage", {**self._message.get("usage", {}), **counted})


class _Growing:
    """A block and the pieces that came after it. They are joined once, at the end: an answer has thousands."""

    __slots__ = ("_citations", "_pieces", "_start")

    def __init__(self, start: Block) -> None:
        self._start = start
        self._pieces: defaultdict[str, list[JSON]] = defaultdict(list)
        self._citations: list[JSON] = []

    def extend(self, delta: JSONObject) -> None:
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

    def joined(self, key: str) -> str:
        return "".join(cast("list[str]", self._pieces[key])) if key in self._pieces else ""

    def whole(self) -> Block:
        block = dict(self._start)
        for key in self._pieces:
            if key != "partial_json":
                block[key] = f"{block.get(key) or ''}{self.joined(key)}"
        if written := self.joined("partial_json"):
            block["input"] = parse_arguments(written)
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
