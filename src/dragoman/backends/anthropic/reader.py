"""The bytes of an answer to its events."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from dragoman.backends.anthropic.errors import Failure, cut_off, from_event, unreadable
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import JSONObject
from dragoman.http.sse import InvalidFrame, SseDecoder

_OF_BLOCK: Mapping[object, tuple[Callable[[int, JSONObject], MessageEvent], str]] = {
    "content_block_delta": (BlockDelta, "delta"),
    "content_block_start": (BlockStart, "content_block"),
    "content_block_stop": (BlockStop, ""),
}
"""What is made of an event, and the object that it must hold."""
_OF_MESSAGE: Mapping[object, tuple[Callable[[JSONObject], MessageEvent], str]] = {
    "message_start": (MessageStart, "message"),
    "message_delta": (MessageDelta, "delta"),
    "message_stop": (MessageStop, ""),
}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class CutsFrames(Protocol):
    """Cuts a stream into the data of its events."""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is complete now.

        Raises:
            Unreadable: It is not a stream of events.
        """
        ...


class Reader:
    """Reads one answer.

    The first event is held back until a second one follows: of an answer that failed before, nothing was said.

    Args:
        frames: Cuts the stream; by default one of server-sent events.

    Attributes:
        whole: Whether `message_stop` has come.
        said: Whether any event of the answer was given out.
        failure: What ended it early; the events before it stand.
    """

    def __init__(self, frames: CutsFrames | None = None) -> None:
        self.whole = False
        self.said = False
        self.failure: Failure | None = None
        self._frames = frames or SseDecoder()
        self._start: MessageEvent | None = None
        self._said_start = False

    def feed(self, data: bytes) -> list[MessageEvent]:
        """Take what one read brought, and give the events that it completes."""
        events: list[MessageEvent] = []
        try:
            for frame in self._frames.feed(data):
                if self.whole:
                    break  # what follows is no part of the answer: some servers send `[DONE]`
                event = _event(_decode(frame))
                if event is None:
                    continue
                if not self._said_start:
                    self._hold_back(event, events)
                elif type(event) is MessageStart:
                    raise unreadable()
                else:
                    events.append(event)
                    self.whole = type(event) is MessageStop
        except Failure as failure:
            self.failure = failure
        except (msgspec.DecodeError, UnicodeDecodeError, InvalidFrame):
            self.failure = unreadable()
        self.said = self.said or bool(events)
        return events

    def end(self) -> None:
        """The connection says no more."""
        if not self.whole and self.failure is None:
            self.failure = cut_off()

    def _hold_back(self, event: MessageEvent, events: list[MessageEvent]) -> None:
        """Keep the first event until the second comes, which must not be one like it."""
        if (self._start is None) != (type(event) is MessageStart):
            raise unreadable()
        if self._start is None:
            self._start = event
            return
        events += (self._start, event)
        self._said_start = True
        self.whole = type(event) is MessageStop


def _event(raw: JSONObject) -> MessageEvent | None:
    """The event of a frame; none for what says nothing (`ping`) and for kinds that are not known yet."""
    kind = raw.get("type")
    if type(kind) is not str:
        raise unreadable()
    if of_block := _OF_BLOCK.get(kind):
        make, part = of_block
        index = raw.get("index")
        if type(index) is not int or (part and type(raw.get(part)) is not dict):
            raise unreadable()
        return make(index, raw)
    if of_message := _OF_MESSAGE.get(kind):
        create, part = of_message
        if part and type(raw.get(part)) is not dict:
            raise unreadable()
        return create(raw)
    if kind == "error":
        raise from_event(raw)
    return None
