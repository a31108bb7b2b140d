"""Events to the final message: the only accumulator. A plain answer is the fold of a streamed one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from dragoman.errors import UpstreamFailed
from dragoman.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart
from dragoman.messages import JSON, Block, FinalMessage, JSONObject, Usage

_TEXT_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


@dataclass(frozen=True, slots=True)
class Folded:
    """A whole answer.

    Attributes:
        message: The final message.
        arguments: The input of each tool call as the model wrote it (JSON text), by block index.
    """

    message: FinalMessage
    arguments: Mapping[int, str]


class Fold:
    """Accumulates the events of one answer.

    Unknown events, blocks and deltas are kept as far as they can be: an unknown block stays as it started.
    """

    def __init__(self) -> None:
        self._message: FinalMessage | None = None
        self._blocks: dict[int, Block] = {}
        self._arguments: dict[int, str] = {}

    def add(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case MessageStart(raw):
                self._message = cast("FinalMessage", dict(cast("JSONObject", raw["message"])))
            case BlockStart(index, raw):
                self._blocks[index] = dict(cast("Block", raw["content_block"]))
            case BlockDelta(index, raw):
                self._extend(index, cast("JSONObject", raw["delta"]))
            case BlockStop(index):
                self._close(index)
            case MessageDelta(raw):
                self._finish(raw)
            case _:
                pass

    def result(self) -> Folded:
        """The whole answer.

        Raises:
            UpstreamFailed: No message was ever started.
        """
        if self._message is None:
            raise UpstreamFailed("Claude's answer never began.")
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return Folded(cast("FinalMessage", {**self._message, "content": content}), self._arguments)

    def _extend(self, index: int, delta: JSONObject) -> None:
        block = self._blocks[index]
        kind = str(delta.get("type"))
        if key := _TEXT_OF_DELTA.get(kind):
            block[key] = f"{block.get(key) or ''}{delta[key]}"
        elif kind == "input_json_delta":
            self._arguments[index] = self._arguments.get(index, "") + str(delta["partial_json"])
        elif kind == "citations_delta":
            known = block.get("citations")
            block["citations"] = [*(known if isinstance(known, list) else ()), delta["citation"]]

    def _close(self, index: int) -> None:
        if text := self._arguments.get(index):
            self._blocks[index]["input"] = _parsed(text)

    def _finish(self, raw: JSONObject) -> None:
        if self._message is None:
            raise UpstreamFailed("Claude's answer ended before it began.")
        self._message.update(cast("FinalMessage", raw.get("delta") or {}))
        counted = cast("Usage", {k: v for k, v in cast("JSONObject", raw.get("usage") or {}).items() if v is not None})
        self._message["usage"] = cast("Usage", {**self._message.get("usage", {}), **counted})


def fold(events: Iterable[Event]) -> Folded:
    """The whole answer of a finished sequence of events."""
    folder = Fold()
    for event in events:
        folder.add(event)
    return folder.result()


def _parsed(text: str) -> JSON:
    """Tool input as JSON; what does not parse (an answer cut by `max_tokens`) stays text."""
    try:
        return cast("JSON", json.loads(text))
    except json.JSONDecodeError:
        return text
