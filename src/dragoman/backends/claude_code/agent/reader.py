"""What an agent does, in short: a line for each call of a tool, and one for what came of it.

An agent's work: the frames of many API calls to the events of one answer. No I/O here.

What it says is the answer's text, as it comes; what it thinks and does is the answer's thinking, without signatures:
they belong to calls that the client never sees. Usage is that of all calls, helpers' included.
"""

from collections.abc import Iterator
from typing import cast

import msgspec

from dragoman.backends.shared.claude_errors import result_error
from dragoman.backends.shared.message_reader import (
    OutputReader,
    block_delta,
    block_start,
    block_stop,
    blocks_in,
    failure_in,
)
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Retrying,
)
from dragoman.core.messages import Block, JSONObject

_LONGEST = 400


def called(block: Block) -> str:
    """A call: the tool's name and its input."""
    written = msgspec.json.encode(block.get("input") or {}).decode()
    return f"{block.get('name')} {_short(written)}"


def came_of_it(block: Block) -> str:
    """A result."""
    mark = "✗" if block.get("is_error") is True else "→"
    return f"{mark} {_short(_text_of(block)) or 'done'}"


def _text_of(block: Block) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    parts = cast("list[JSONObject]", content or [])
    return "\n".join(str(part["text"]) if part.get("type") == "text" else f"({part.get('type')})" for part in parts)


def _short(text: str) -> str:
    text = text.strip()
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST].rstrip()}… ({len(text)} characters)"


_SHOWN = frozenset({"text", "thinking"})
_LIMITS = {
    "error_max_turns": "The agent was stopped: it had made its `max_turns` rounds.",
    "error_max_budget_usd": "The agent was stopped: it had cost its `max_budget_usd`.",
}
_COUNTED = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cache_creation_input_tokens": "cacheCreationInputTokens",
    "cache_read_input_tokens": "cacheReadInputTokens",
}


class AgentReader(OutputReader):
    """The reader of a whole work. The runtime may ask the API as often as it wants, and the answer has no limit."""

    def __init__(self) -> None:
        super().__init__()
        self._at_work: set[str] = set()
        self._open: dict[int, int] = {}
        self._held: dict[int, JSONObject] = {}
        self._blocks = 0
        self._notes: list[str] = []
        self._begun = False
        self._midway = False
        self._spoke = False
        self._gap = ""
        self._unfinished_line = False
        self._reason: object = None
        self._failure = ""

    @property
    def is_tool_running(self) -> bool:
        """Whether a tool is at work, so that Claude has nothing to say."""
        return bool(self._at_work)

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""
        if self.outcome != "open":
            return
        helper = frame.get("parent_tool_use_id") is not None
        match frame.get("type"):
            case "stream_event" if not helper:
                yield from self._stream(cast("JSONObject", frame["event"]))
            case "assistant":
                yield from self._assistant(cast("JSONObject", frame["message"]), helper=helper)
            case "user":
                yield from self._results(cast("JSONObject", frame["message"]), helper=helper)
            case "system" if frame.get("subtype") == "api_retry" and not self._begun:
                yield Retrying(cast("int", frame.get("attempt") or 1), 0.0, str(frame.get("error")))
            case "result":
                yield from self._result(frame)
            case _:
                pass

    def _stream(self, event: JSONObject) -> Iterator[Event]:
        match event.get("type"):
            case "message_start":
                yield from self._start(event)
            case "content_block_start" if self._shown(event):
                yield from self._meet_block(event)
            case "content_block_delta":
                yield from self._delta(event)
            case "content_block_stop" if (place := self._open.pop(cast("int", event["index"]), None)) is not None:
                yield BlockStop(place, {**event, "index": place})
                yield from self._tell_notes()
            case "message_delta":
                self._reason = cast("JSONObject", event["delta"]).get("stop_reason")
            case "message_stop":
                self._midway = False
            case _:
                pass

    def _start(self, event: JSONObject) -> Iterator[Event]:
        if self._midway:
            # It would say again what the client has read already.
            self.fail(UpstreamFailed("Claude's answer broke off in the middle. Ask again."))
            return
        # After a message that was cut, the next one goes on in mid-sentence.
        self._gap = "\n\n" if self._spoke and self._reason != "max_tokens" else ""
        if not self._begun:
            self._begun = True
            yield MessageStart(event)

    def _shown(self, event: JSONObject) -> bool:
        return cast("JSONObject", event["content_block"]).get("type") in _SHOWN

    def _meet_block(self, event: JSONObject) -> Iterator[Event]:
        """Thinking is begun by its first words: without a signature it may have nothing to show."""
        self._held.pop(index := cast("int", event["index"]), None)
        if cast("JSONObject", event["content_block"]).get("thinking") == "":
            self._held[index] = event
        else:
            yield from self._begin_block(event)

    def _begin_block(self, event: JSONObject) -> Iterator[Event]:
        yield from self._tell_notes()
        place = self._open[cast("int", event["index"])] = self._next()
        block = cast("Block", event["content_block"])
        if "signature" in block:
            block = {**block, "signature": ""}
        yield BlockStart(place, {**event, "index": place, "content_block": block})
        if block["type"] == "text":
            self._spoke = True
            if self._gap:
                yield block_delta(place, {"type": "text_delta", "text": self._gap})
                self._gap = ""

    def _delta(self, event: JSONObject) -> Iterator[Event]:
        index, delta = cast("int", event["index"]), cast("JSONObject", event["delta"])
        if delta.get("type") == "thinking_delta" and (thought := str(delta["thinking"])):
            if (held := self._held.pop(index, None)) is not None:
                yield from self._begin_block(held)
            self._unfinished_line = not thought.endswith("\n")
        if (place := self._open.get(index)) is None:
            return
        self._midway = True
        if delta.get("type") != "signature_delta":
            yield BlockDelta(place, {**event, "index": place})

    def _assistant(self, message: JSONObject, *, helper: bool) -> Iterator[Event]:
        if failure := failure_in(message):
            if not helper:
                self._failure = failure
            return
        for block in blocks_in(message, "tool_use"):
            self._at_work.add(str(block["id"]))
            yield from self._note(called(block), helper=helper)

    def _results(self, message: JSONObject, *, helper: bool) -> Iterator[Event]:
        for block in blocks_in(message, "tool_result"):
            self._at_work.discard(str(block["tool_use_id"]))
            yield from self._note(came_of_it(block), helper=helper)

    def _note(self, line: str, *, helper: bool = False) -> Iterator[Event]:
        self._notes.append(f"  {line}" if helper else line)
        yield from self._tell_notes()

    def _tell_notes(self) -> Iterator[Event]:
        """Blocks come one after the other: while one is open, notes wait."""
        if self._open or not self._notes or not self._begun:
            return
        lines, self._notes = self._notes, []
        before = "\n" if self._unfinished_line else ""
        self._unfinished_line = False
        place = self._next()
        block: Block = {"type": "thinking", "thinking": "", "signature": ""}
        yield block_start(place, block)
        yield block_delta(
            place, {"type": "thinking_delta", "thinking": before + "".join(f"{line}\n" for line in lines)}
        )
        yield block_stop(place)

    def _next(self) -> int:
        place, self._blocks = self._blocks, self._blocks + 1
        return place

    def _result(self, frame: JSONObject) -> Iterator[Event]:
        limit = _LIMITS.get(str(frame.get("subtype")))
        if not self._begun or self._failure or (frame.get("is_error") and limit is None):
            self.fail(result_error(frame, self._failure))
            return
        if limit is not None:
            yield from self._note(limit)
        yield from self._tell_notes()
        reason = "max_tokens" if limit else frame.get("stop_reason") or "end_turn"
        delta: JSONObject = {"stop_reason": reason, "stop_sequence": None}
        yield MessageDelta({"type": "message_delta", "delta": delta, "usage": _usage(frame)})
        yield MessageStop({"type": "message_stop"})
        self.outcome = "complete"


def _usage(frame: JSONObject) -> JSONObject:
    """The tokens of all calls, of all models that took part."""
    models = list(cast("dict[str, JSONObject]", frame.get("modelUsage") or {}).values())

    def total(name: str) -> int:
        return sum(value for model in models if isinstance(value := model.get(name), int))

    usage: JSONObject = {name: total(theirs) for name, theirs in _COUNTED.items()}
    kept: JSONObject = {
        "ephemeral_5m_input_tokens": total("cacheCreationEphemeral5mInputTokens"),
        "ephemeral_1h_input_tokens": total("cacheCreationEphemeral1hInputTokens"),
    }
    thought: JSONObject = {"thinking_tokens": total("thinkingTokens")}
    return {**usage, "cache_creation": kept, "output_tokens_details": thought}
