"""Readers: from the frames of a Claude Code process to the events of a run. No I/O here.

`OutputReader` is the base of all readers. `MessageReader` reads one API call. Agents and the command that prints one
`result` have readers of their own.

The raw Messages API events inside the `stream_event` frames are the source. The runtime's own `assistant` frames lose
content, so `MessageReader` reads only failures from them: the runtime reports a failure as a message of the model
`<synthetic>`.

An event that breaks the grammar of a response (`message_stream`) fails the run. Any other frame with a missing key or a
wrong type makes `feed` raise. `ChildProcess` then ends the process, so the run fails.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, TypeAlias, cast

from dragoman.backends.shared.message_stream import MessageStream
from dragoman.backends.shared.runtime_errors import result_error
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
    Restarted,
    Retrying,
)
from dragoman.core.messages import Block, JSONObject

Outcome: TypeAlias = Literal["open", "complete", "parked", "spent", "failed"]
"""The state of a turn.

`complete`: the process can take another turn. `parked`: the process waits for the results of the calls in the response.
`spent`: the response is complete, but the process must be killed at once.
"""

_CONTINUED_BY_RUNTIME = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons after which the runtime adds a text of its own and calls the API again."""

_REPEATED_STATUS = 404
"""The runtime repeats a call with this status once, without streaming, and reports only the second one."""

_INVISIBLE_TYPES = frozenset({"text", "thinking", "redacted_thinking"})
"""Blocks that the runtime does not count as output. A text counts once it has more than white space."""


class OutputReader:
    """Reads the frames of one turn, from the request to the end.

    Attributes:
        outcome: The state of the turn.
        error: Why it failed.
        is_retrying: Whether the runtime reported a failed API call and is about to call again.
        must_not_continue: Whether the runtime is about to call the API again when it should not.
        has_broken_off: Whether the response broke off, and the runtime did not yet report a retry or a failure.
        byte_count: Bytes of the current response so far. A token has at least one byte.
        is_one_call: Whether the turn is a single API call.
    """

    is_one_call = False

    def __init__(self) -> None:
        self.outcome: Outcome = "open"
        self.error: GatewayError | None = None
        self.is_retrying = False
        self.must_not_continue = False
        self.has_broken_off = False
        self.byte_count = 0

    @property
    def is_tool_running(self) -> bool:
        """Whether a tool of the runtime runs, so that silence does not mean a failure."""
        return False

    @abstractmethod
    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield its events."""

    def process_failed(self, reason: str) -> None:
        """Fail the turn, if it is open: the process ended."""
        if self.outcome == "open":
            self.fail(runtime_failed(reason))

    def fail(self, error: GatewayError) -> None:
        """End the turn with an error. Events so far remain valid."""
        self.error = error
        self.outcome = "failed"


class MessageReader(OutputReader):
    """The reader of one API call.

    The runtime may call the API again with a text of its own: after a break, and after a response without output. The
    response of such a call is not the response to the client's request. So the turn ends before it, and `Session` kills
    the process.

    Args:
        tools: Names of the client's tools, which the client runs.
    """

    is_one_call = True

    def __init__(self, tools: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._tools = tools
        self._stream = MessageStream()
        self._start: MessageEvent | None = None
        self._has_begun = False
        self._has_output = False
        self._has_finished_block = False
        self._calls_tools = False
        self._failure = ""
        self._retry_after: float | None = None

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield its events."""
        if self.outcome != "open":
            return
        match frame.get("type"):
            case "stream_event" if frame.get("parent_tool_use_id") is None:
                try:
                    yield from self._read_event(cast("JSONObject", frame["event"]))
                except UpstreamFailed as error:
                    self.fail(error)
            case "assistant" if not self._stream.is_complete:
                self._read_assistant(object_in(frame, "message"))
            case "user" if self._stream.has_started and not blocks_in(object_in(frame, "message"), "tool_result"):
                self.fail(broke_off())  # a text of the runtime's own, before it calls the API again
            case "system" if frame.get("subtype") == "api_retry":
                yield from self._read_retry(frame)
            case "result":
                if self._failure and frame.get("api_error_status") == _REPEATED_STATUS:
                    yield Retrying(1, 0.0, "not_found_error")
                self._read_result(frame)
            case _:
                pass

    def _read_event(self, raw: JSONObject) -> Iterator[Event]:
        if self._failure:
            return  # the runtime makes up the end of a message that failed
        if raw.get("type") == "message_start" and self.is_retrying:
            self._stream = MessageStream()
        if raw.get("type") == "message_stop" and not self._stream.has_stop_reason:
            # After a break. The runtime reports a retry in the next frame; or repeats the call without a report, which
            # is not one call that can be counted; or continues after a finished block.
            if self._has_finished_block:
                self.fail(broke_off())
            self.has_broken_off = True
            return
        event = self._stream.read(raw)
        if isinstance(event, BlockDelta):  # the most frequent event
            self._measure(cast("JSONObject", raw["delta"]))
            yield event
        elif isinstance(event, MessageStart):
            yield from self._start_message(event)
        elif event is not None:
            yield from self._read_other(event)

    def _measure(self, delta: JSONObject) -> None:
        self.byte_count += delta_size(delta)
        if not self._has_output and delta["type"] == "text_delta":
            self._has_output = bool(cast("str", delta["text"]).strip())

    def _start_message(self, event: MessageStart) -> Iterator[Event]:
        self.is_retrying, self.must_not_continue, self.byte_count = False, False, 0
        if self._has_begun:
            self._has_begun = False
            yield Restarted()
        # Held back until content follows: a call that is retried before that has emitted nothing.
        self._start = event

    def _read_other(self, event: MessageEvent) -> Iterator[Event]:
        if self._start is not None:
            yield self._start
            self._start = None
            self._has_begun = True
        yield event
        match event:
            case BlockStart(raw=raw):
                self._check_block(cast("Block", raw["content_block"]))
            case MessageDelta(raw=raw):
                yield from self._end_message(object_in(raw, "delta")["stop_reason"])
            case MessageStop() if self._calls_tools:
                self.outcome = "parked"
            case _:
                pass

    def _check_block(self, block: Block) -> None:
        # The runtime itself answers a call of a tool that was not offered, and calls the API again.
        if block["type"] == "tool_use" and block["name"] not in self._tools:
            self.must_not_continue = True
        if block["type"] not in _INVISIBLE_TYPES or str(block.get("text") or "").strip():
            self._has_output = True

    def _end_message(self, reason: object) -> Iterator[Event]:
        self._calls_tools = reason == "tool_use"
        if reason in _CONTINUED_BY_RUNTIME or self.must_not_continue or not self._has_output:
            self.outcome = "spent"
            yield MessageStop({"type": "message_stop"})

    def _read_assistant(self, message: JSONObject) -> None:
        """Read a finished block, or a failure. If a tool call came before it, the runtime reports no `result`."""
        if not (failure := failure_in(message)):
            self._has_finished_block = True
        elif self._has_finished_block:
            self.fail(result_error({}, failure))
        else:
            self._failure = failure

    def _read_retry(self, frame: JSONObject) -> Iterator[Event]:
        delay = frame.get("retry_delay_ms")
        seconds = delay / 1000 if isinstance(delay, int | float) else 0.0
        attempt = frame.get("attempt")
        self._retry_after = seconds
        self._has_finished_block = self._has_output = False
        self.is_retrying, self.has_broken_off = True, False
        yield Retrying(attempt if isinstance(attempt, int) else 1, seconds, str(frame.get("error")))

    def _read_result(self, frame: JSONObject) -> None:
        if self._stream.is_complete:
            self.outcome = "complete"
        elif self._has_finished_block and not self._failure:
            self.fail(broke_off())  # the `result` contains the text of the response
        else:
            self.fail(result_error(frame, self._failure, retry_after=self._retry_after))


def broke_off() -> UpstreamFailed:
    """Return the error for a response that ended too early."""
    return UpstreamFailed("Claude's response broke off.")


def runtime_failed(reason: str) -> UpstreamFailed:
    """Return the error for a process that ended."""
    return UpstreamFailed(
        f"The Claude Code process failed: {reason}. `dragoman doctor` tries it.", code="runtime_failed"
    )


def failure_in(message: JSONObject) -> str:
    """Return the API's words in an `assistant` message by which the runtime reports a failure; else an empty text."""
    if message.get("model") != "<synthetic>":
        return ""
    texts = (str(block["text"]) for block in blocks_in(message, "text"))
    return "".join(texts) or "no reason was given."


def blocks_in(message: JSONObject, kind: str) -> list[Block]:
    """Return a message's content blocks of one type."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if isinstance(block, dict) and block.get("type") == kind]


def block_start(index: int, block: Block) -> BlockStart:
    """Return the event that opens a content block."""
    return BlockStart(index, {"type": "content_block_start", "index": index, "content_block": block})


def block_delta(index: int, delta: JSONObject) -> BlockDelta:
    """Return the event that extends a content block."""
    return BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta})


def block_stop(index: int) -> BlockStop:
    """Return the event that closes a content block."""
    return BlockStop(index, {"type": "content_block_stop", "index": index})


def without_deltas(frame: JSONObject) -> JSONObject:
    """Return a frame as it may be logged: of a delta only its type, because a redactor cannot see half a secret."""
    event = frame.get("event")
    if not isinstance(event, dict) or event.get("type") != "content_block_delta":
        return frame
    delta = event.get("delta")
    kind = delta.get("type") if isinstance(delta, dict) else None
    return {"type": frame.get("type"), "event": {**event, "delta": {"type": kind}}}


def object_in(value: JSONObject, key: str) -> JSONObject:
    """Return the object under a key.

    Raises:
        KeyError: The key is missing.
        TypeError: The value is not an object.
    """
    if not isinstance(found := value[key], dict):
        raise TypeError(f"`{key}` is not an object")
    return found


def text_in(value: JSONObject, key: str) -> str:
    """Return the text under a key. Raises as `object_in` does."""
    if not isinstance(found := value[key], str):
        raise TypeError(f"`{key}` is not a text")
    return found


def delta_size(delta: JSONObject) -> int:
    """Return the number of characters in a delta."""
    return sum(len(value) for name, value in delta.items() if name != "type" and isinstance(value, str))
