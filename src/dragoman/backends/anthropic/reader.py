"""The reader of a streamed response: from its bytes to the events of a run. No I/O here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from dragoman.backends.anthropic.failures import Failure, cut_off_failure, event_failure, unreadable_failure
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.json_text import replace_half_characters
from dragoman.core.messages import JSONObject
from dragoman.http.sse import InvalidFrame, SseDecoder

_BLOCK_EVENTS: Mapping[str, tuple[Callable[[int, JSONObject], MessageEvent], str]] = MappingProxyType(
    {
        "content_block_delta": (BlockDelta, "delta"),
        "content_block_start": (BlockStart, "content_block"),
        "content_block_stop": (BlockStop, ""),
    }
)
"""By the type of the API's event: the event of the run, and the object that the API's event must contain."""

_MESSAGE_EVENTS: Mapping[str, tuple[Callable[[JSONObject], MessageEvent], str]] = MappingProxyType(
    {
        "message_start": (MessageStart, "message"),
        "message_delta": (MessageDelta, "delta"),
        "message_stop": (MessageStop, ""),
    }
)

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

    Attributes:
        is_complete: Whether `message_stop` was read.
        has_emitted: Whether any event was returned.
        failure: Why the response ended too early. Events that were returned before remain valid.
    """

    def __init__(self, decoder: FrameDecoder | None = None) -> None:
        self.is_complete = False
        self.has_emitted = False
        self.failure: Failure | None = None
        self._decoder = decoder or SseDecoder()
        self._start: MessageEvent | None = None

    def feed(self, data: bytes) -> list[MessageEvent]:
        """Take the next bytes, and return the events that they complete. No bytes mean the end of the stream."""
        events: list[MessageEvent] = []
        try:
            if not data:
                raise cut_off_failure()
            for frame in self._decoder.feed(data):
                if self.is_complete:
                    break  # some servers send `[DONE]` after the message
                try:
                    decoded = _decode(frame)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    decoded = _decode(replace_half_characters(frame))
                if (event := _parse(decoded)) is None:
                    continue
                if not self.has_emitted:
                    self._begin(event, events)
                elif type(event) is MessageStart:
                    raise unreadable_failure()
                else:
                    events.append(event)
                self.is_complete = type(event) is MessageStop
        except Failure as failure:
            self.failure = failure
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidFrame):
            self.failure = unreadable_failure()
        return events

    def _begin(self, event: MessageEvent, events: list[MessageEvent]) -> None:
        """Hold back a `message_start`, and return it together with the event after it."""
        if (self._start is None) != (type(event) is MessageStart):
            raise unreadable_failure()
        if self._start is None:
            self._start = event
        else:
            events += (self._start, event)
            self.has_emitted = True


def _parse(raw: JSONObject) -> MessageEvent | None:
    """Return the event of a frame. None for `ping`, and for types that are not known yet.

    Raises:
        Failure: The frame reports an error, or is not an event.
    """
    try:
        kind = raw["type"]
        if type(kind) is not str:
            raise unreadable_failure()
        if (block_event := _BLOCK_EVENTS.get(kind)) is not None:
            create, part = block_event
            index = raw["index"]
            if type(index) is not int or (part and type(raw[part]) is not dict):
                raise unreadable_failure()
            return create(index, raw)
        if (message_event := _MESSAGE_EVENTS.get(kind)) is not None:
            create_message, part = message_event
            if part and type(raw[part]) is not dict:
                raise unreadable_failure()
            return create_message(raw)
    except KeyError:
        raise unreadable_failure() from None
    if kind == "error":
        raise event_failure(raw)
    return None
