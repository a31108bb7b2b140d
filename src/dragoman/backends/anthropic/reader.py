"""The reader of a streamed response: from its bytes to the events of a run. No I/O here."""

from typing import Any, Protocol

import msgspec

from dragoman.backends.anthropic.failures import Failure, cut_off_failure, event_failure, unreadable_failure
from dragoman.backends.shared.message_stream import MessageStream
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import MessageEvent
from dragoman.core.json_text import replace_half_characters
from dragoman.http.sse import InvalidFrame, SseDecoder

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class FrameDecoder(Protocol):
    """Splits a stream into the JSON of its events."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the JSON of each event that is complete now.

        Raises:
            InvalidFrame: It is not a stream of events.
        """
        ...


class StreamReader:
    """Reads one response.

    The first event is held back until a second one follows. A response that fails before that has emitted nothing, so
    the call may be repeated.

    Args:
        decoder: Splits the stream; by default into server-sent events.
        checks_arguments: See `MessageStream`.

    Attributes:
        is_complete: Whether `message_stop` was read.
        has_emitted: Whether any event was returned.
        failure: Why the response ended too early. Events that were returned before remain valid.
    """

    def __init__(self, decoder: FrameDecoder | None = None, *, checks_arguments: bool = True) -> None:
        self.is_complete = False
        self.has_emitted = False
        self.failure: Failure | None = None
        self._decoder = decoder or SseDecoder()
        self._stream = MessageStream(checks_arguments=checks_arguments)
        self._start: MessageEvent | None = None

    def feed(self, data: bytes) -> list[MessageEvent]:
        """Take the next bytes, and return the events that they complete. No bytes mean the end of the stream."""
        events: list[MessageEvent] = []
        stream = self._stream
        read = stream.read
        try:
            if not data:
                raise cut_off_failure()
            for frame in self._decoder.feed(data):
                try:
                    decoded = _decode(frame)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    if stream.is_complete:
                        break  # some servers send `[DONE]` after the message
                    decoded = _decode(replace_half_characters(frame))
                if (event := read(decoded)) is None:
                    if decoded["type"] == "error":
                        raise event_failure(decoded)
                elif self.has_emitted:
                    events.append(event)
                elif self._start is None:
                    self._start = event
                else:
                    events += (self._start, event)
                    self.has_emitted = True
        except Failure as failure:
            self.failure = failure
        except UpstreamFailed as error:
            self.failure = unreadable_failure(error)
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidFrame):
            self.failure = unreadable_failure()
        self.is_complete = stream.is_complete
        return events
