"""A response that is recorded while it is made, so that any number of clients can follow it from any event."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from starlette.types import Message

from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.validation import parse_digits
from dragoman.server.context import HEARTBEAT_KEY, RawHeaders, RequestContext

_EVENT_STREAM = b"text/event-stream"
LAST_EVENT_ID = b"last-event-id"


class StoredRecording(msgspec.Struct, array_like=True, frozen=True):
    """A complete response as it is stored.

    Attributes:
        status: The HTTP status.
        headers: The headers of the endpoint.
        parts: The events of a stream, or the parts of a body.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    parts: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(StoredRecording)


class Recording:
    """A response: what its endpoint has sent so far. The endpoint writes it by `send`, clients follow it.

    Attributes:
        status: The HTTP status; 0 before it is known.
        headers: The headers of the endpoint.
        parts: The events of a stream, or the parts of a body.
        ended: Whether nothing more will come.
        error: What the endpoint raised instead of a response.
        heartbeat: What a client of the stream gets in silence.
    """

    def __init__(self, heartbeat: bytes = sse.HEARTBEAT) -> None:
        self.status = 0
        self.headers: RawHeaders = []
        self.parts: list[bytes] = []
        self.ended = False
        self.error: Exception | None = None
        self.heartbeat = heartbeat
        self._changed = asyncio.Event()

    @classmethod
    def decode(cls, stored: bytes) -> "Recording":
        """Return a complete recording, given its stored form."""
        recording, found = cls(), _decoder.decode(stored)
        recording.status, recording.headers, recording.parts = found.status, list(found.headers), list(found.parts)
        recording.ended = True
        return recording

    def encode(self) -> bytes:
        """Return the stored form."""
        return _encode(StoredRecording(self.status, self.headers, self.parts))

    @property
    def is_stream(self) -> bool:
        """Whether the response is a stream of events."""
        return any(name == b"content-type" and value.startswith(_EVENT_STREAM) for name, value in self.headers)

    def add(self, message: Message, context: RequestContext) -> None:
        """Record an ASGI message of the endpoint.

        Args:
            message: The message.
            context: The context of the endpoint. It knows the heartbeat, which is not recorded.
        """
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self._add_body(message.get("body", b""), context)
        self._changed.set()

    def end(self, error: Exception | None = None) -> None:
        """Note that nothing more will come."""
        self.ended, self.error = True, error
        self._changed.set()

    async def wait(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - silence is no error
        """Wait until more is recorded or the response has ended, for at most `timeout` seconds."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    def _add_body(self, data: bytes, context: RequestContext) -> None:
        if not self.is_stream:
            self.parts.append(data)
        elif (heartbeat := context.scope.get(HEARTBEAT_KEY)) and data == heartbeat:
            self.heartbeat = heartbeat
        else:
            first = len(self.parts)
            self.parts += [b"id: %d\n%s" % (first + index, event) for index, event in enumerate(sse.events(data))]


class RecordedEvents:
    """The events of a recorded stream, for one client. See `dragoman.server.stream.EventSource`.

    Args:
        recording: The stream.
        first: The number of the first event to return.
        separate: Whether each event needs a write of its own.
    """

    def __init__(self, recording: Recording, first: int, *, separate: bool) -> None:
        self._recording = recording
        self._next = first
        self._separate = separate
        self.heartbeat = recording.heartbeat
        self.ended = False
        self.failure: GatewayError | None = None

    async def next(self, timeout: float | None) -> list[bytes]:  # noqa: ASYNC109 - see `EventSource`
        """Return the next events."""
        recording = self._recording
        if len(recording.parts) <= self._next and not recording.ended:
            await recording.wait(timeout)
        self.heartbeat = recording.heartbeat
        self.ended = recording.ended  # read before the events, which are complete then
        events = recording.parts[self._next :]
        self._next += len(events)
        return events if self._separate or not events else [b"".join(events)]

    def fail(self, error: GatewayError) -> list[bytes]:
        """End the stream. The recorded events say why it failed."""
        self.failure, self.ended = error, True
        return []


def first_event(context: RequestContext) -> int | None:
    """Return the number of the event with which a client takes a stream up again; None if it does not say one.

    Clients send the number of the last event that they have: as the header `Last-Event-ID`, or as the query parameter
    `starting_after`.

    Raises:
        InvalidRequest: It is not a number.
    """
    sent = context.headers.get(LAST_EVENT_ID)
    name, text = "Last-Event-ID", None if sent is None else sent.decode("latin-1")
    if text is None and b"starting_after" in context.scope["query_string"]:
        name, text = "starting_after", _query_value(context.scope["query_string"].decode("latin-1").split("&"))
    if text is None:
        return None
    number = parse_digits(text.strip())
    if number is None:
        raise InvalidRequest(f"`{name}` must be the number of an event of the stream.", param=name)
    return number + 1


def _query_value(pairs: Sequence[str]) -> str | None:
    return next((pair.partition("=")[2] for pair in pairs if pair.startswith("starting_after=")), None)
