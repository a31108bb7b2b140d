"""What the runtime says, as it may be written down.

What all readers of the runtime's frames have in common. No I/O here.

One turn of the runtime: its frames to the run's events. No I/O here.

The raw stream events inside the frames are the source; the runtime's own digest of them (`assistant` frames) is read
only for failures, which it reports as messages of the model `<synthetic>`.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, TypeAlias, cast

from dragoman.backends.shared.claude_errors import result_error
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
    Retrying,
)
from dragoman.core.messages import JSONObject


def without_pieces(frame: JSONObject) -> JSONObject:
    """A frame; a piece of an answer by its kind alone, since half a secret would not be known for one."""
    event = frame.get("event")
    if not isinstance(event, dict) or event.get("type") != "content_block_delta":
        return frame
    delta = cast("JSONObject", event.get("delta") or {})
    return {"type": frame.get("type"), "event": {**event, "delta": {"type": delta.get("type")}}}


Outcome: TypeAlias = Literal["open", "whole", "parked", "spent", "failed"]
"""`whole`: the process may be asked again. `parked`: it waits for the results of the calls in the answer. `spent`: the
answer is whole, but the process must be killed at once."""


class OutputReader:
    """Reads frames from the moment of asking to the end.

    Attributes:
        outcome: Where it stands.
        error: Why it failed.
        asks_again: Whether the runtime waits to ask the API once more, after a failure that it told of.
        astray: Whether the runtime will ask the API once more of itself, which it must not.
        said: Bytes of the answer so far; a token has at least one.
    """

    def __init__(self) -> None:
        self.outcome: Outcome = "open"
        self.error: GatewayError | None = None
        self.asks_again = False
        self.astray = False
        self.said = 0

    @property
    def working(self) -> bool:
        """Whether the model itself has nothing to do, so that its silence means nothing."""
        return False

    @abstractmethod
    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""

    def broke(self, reason: str) -> None:
        """Take note that the process ended, or was silent for too long."""
        if self.outcome == "open":
            words = f"The Claude Code process failed: {reason}. `dragoman doctor` tries it."
            self.fail(UpstreamFailed(words, code="runtime_failed"))

    def fail(self, error: GatewayError) -> None:
        """There is no answer, or only the beginning of one."""
        self.error = error
        self.outcome = "failed"


# After these the runtime adds words of its own and calls the API again.
_RUNTIME_GOES_ON = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})


class MessageReader(OutputReader):
    """The reader of one call of the API. It goes astray where the model calls a tool that was not offered.

    Args:
        tools: Names of the client's tools, which the client runs.
    """

    def __init__(self, tools: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._tools = tools
        self._parks = False
        self._start: MessageStart | None = None
        self._said_something = False
        self._complete = False
        self._failure = ""
        self._retry_after: float | None = None

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""
        if self.outcome != "open":
            return
        match frame.get("type"):
            case "stream_event" if frame.get("parent_tool_use_id") is None:
                yield from self._stream(cast("JSONObject", frame["event"]))
            case "assistant":
                self._listen_for_failure(cast("JSONObject", frame["message"]))
            case "system" if frame.get("subtype") == "api_retry":
                yield from self._retry(frame)
            case "result":
                self._result(frame)
            case _:
                pass

    def _stream(self, event: JSONObject) -> Iterator[Event]:
        match event.get("type"):
            case "message_start":
                self.asks_again, self.astray, self.said = False, False, 0
                if self._said_something:
                    self._said_something = False
                    yield Restarted()
                # Held back until something follows it: a call that is asked again has said nothing yet.
                self._start = MessageStart(event)
            case "content_block_start":
                yield from self._begin()
                self._meet(cast("JSONObject", event["content_block"]))
                yield BlockStart(cast("int", event["index"]), event)
            case "content_block_delta":
                self.said += _bytes_in(cast("JSONObject", event["delta"]))
                yield BlockDelta(cast("int", event["index"]), event)
            case "content_block_stop" if not self._failure:
                yield BlockStop(cast("int", event["index"]), event)
            case "message_delta" if not self._failure:
                yield from self._stop(event)
            case "message_stop" if self._complete:
                yield MessageStop(event)
                if self._parks:
                    self.outcome = "parked"
            case _:
                pass

    def _begin(self) -> Iterator[Event]:
        if self._start is not None:
            yield self._start
            self._start = None
            self._said_something = True

    def _meet(self, block: JSONObject) -> None:
        """The runtime itself answers a call of a tool that was not offered, and asks the model again."""
        if block.get("type") == "tool_use" and block.get("name") not in self._tools:
            self.astray = True

    def _stop(self, event: JSONObject) -> Iterator[Event]:
        reason = cast("JSONObject", event["delta"]).get("stop_reason")
        if reason is None:
            return
        yield from self._begin()
        self._complete = True
        yield MessageDelta(event)
        self._parks = reason == "tool_use"
        if reason in _RUNTIME_GOES_ON or self.astray:
            self.outcome = "spent"
            yield MessageStop({"type": "message_stop"})

    def _listen_for_failure(self, message: JSONObject) -> None:
        if message.get("model") == "<synthetic>" and not self._complete:
            self._failure = text_of(message) or "no reason was given."

    def _retry(self, frame: JSONObject) -> Iterator[Event]:
        delay = frame.get("retry_delay_ms")
        seconds = delay / 1000 if isinstance(delay, int | float) else 0.0
        attempt = frame.get("attempt")
        self._retry_after = seconds
        self._complete = False
        self.asks_again = True
        yield Retrying(attempt if isinstance(attempt, int) else 1, seconds, str(frame.get("error")))

    def _result(self, frame: JSONObject) -> None:
        if self._complete and not self._failure:
            self.outcome = "whole"
            return
        self.fail(result_error(frame, self._failure, retry_after=self._retry_after))


def _bytes_in(delta: JSONObject) -> int:
    return sum(len(value) for key, value in delta.items() if key != "type" and isinstance(value, str))


def text_of(message: JSONObject) -> str:
    """The text of a message."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return "".join(str(block["text"]) for block in blocks if isinstance(block, dict) and block.get("type") == "text")
