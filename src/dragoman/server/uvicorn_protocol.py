"""Uvicorn's HTTP protocol, with fewer writes to the socket and with time limits, also for old and half-closed clients.

All writes of one event loop iteration become one.
"""

import asyncio
from typing import ClassVar, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dragoman.server.context import HEARTBEAT_KEY, UNREAD_KEY

_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n"
    b"connection: close\r\n\r\nThe request did not arrive in time.\n"
)
_TOO_LARGE_HEAD = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 37\r\nconnection: close\r\n\r\nThe head of the request is too large.\n"
)
_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n"
    b"retry-after: 5\r\nconnection: close\r\n\r\nThe gateway has no connection left.\n"
)
_MAX_HEAD_BYTES = 64 * 1024
_CLOSE_SECONDS = 60.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""An interim response, which every client of HTTP/1.1 skips."""
_OLD_VERSION = "1.0"
_FIRST_PROBE, _LAST_PROBE = 0.1, 10.0
"""Seconds between the first two probes of a half-closed connection, and the most between two."""


class BufferedHttpProtocol(HttpToolsProtocol):
    """One client connection.

    A client that has sent its request may close its side of the connection and read on. A client that is gone closes
    its side, too. Only the reaction to a write shows the difference: so a half-closed connection is written to, with
    bytes that clients skip, until the response is complete or a write fails.

    Attributes:
        head_timeout: Seconds in which the whole head of a request must arrive.
        unread_timeout: Seconds in which the client must read something, while it has not read what was sent.
        max_connections: Connections at the same time. Further ones get 503.
    """

    head_timeout: ClassVar[float] = 60.0
    unread_timeout: ClassVar[float] = 60.0
    max_connections: ClassVar[int] = 1000

    _buffer: "BufferedTransport"
    _head_timer: asyncio.TimerHandle | None = None
    _head_begun = False
    _head_bytes: int | None = None
    """Bytes of the head that is arriving; None: none is."""
    _unread_bytes = 0
    _unread_timer: asyncio.TimerHandle | None = None
    _probe_timer: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    """The request that is being answered. `cycle` is the newest one, which may have to wait for it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wrap the transport of a new connection."""
        self._buffer = BufferedTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._buffer))
        self._expect_head()
        if len(self.connections) > self.max_connections:
            self._refuse(_TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and tell the request that its client is gone."""
        self._head_arrived()
        for timer in (self._probe_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes. What is left of a request that was answered early has a time limit, too."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(_TOO_LARGE_HEAD)
        newest = cast("RequestResponseCycle | None", self.cycle)
        is_left_over = newest is not None and newest.response_complete
        if is_left_over and self._head_timer is None and self.timeout_keep_alive_task is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """Take the first byte of a request. It starts the time limit of its head."""
        if self._head_timer is None:
            self._expect_head()
        self._head_begun = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin the request whose head has arrived."""
        self._head_arrived()
        self._head_bytes = None
        super().on_headers_complete()
        self.headers = _NoHeaders()

    def pause_writing(self) -> None:
        """Expect that the client reads: much of what was sent is not read."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """Continue to send."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()

    def eof_received(self) -> bool | None:  # type: ignore[override] # uvicorn closes every half-closed connection
        """Keep the connection of a client that may still read. The others are closed, which ends their requests."""
        cycle = self._answered
        if cycle is None or cycle.response_complete or self.cycle.more_body:
            return None
        if cycle.scope["http_version"] == _OLD_VERSION and not cycle.response_started:
            return None  # it cannot be written to yet, and proxies that speak HTTP/1.0 close so when their client left
        self.cycle.keep_alive = False
        self._probe(_FIRST_PROBE)
        return True

    def on_response_complete(self) -> None:
        """Send a complete response at once, before it is logged, if no other request is running.

        With several requests this would be slower: then all responses of one loop iteration are written one after
        the other.
        """
        if len(self.tasks) == 1:
            self._buffer.flush()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._answered = cycle
        if cycle.scope["http_version"] == _OLD_VERSION:
            app = _without_chunks(app, cycle)
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type] # uvicorn has ASGI types of its own

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout, self._head_timed_out)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._answered is not None and not self._answered.response_complete:
            self._expect_head()  # an earlier request is being answered
        elif not self.transport.is_closing():
            if self._head_begun:
                self.transport.write(_TIMED_OUT)
            self.transport.close()

    def _refuse(self, response: bytes) -> None:
        self.transport.write(response)
        self.transport.close()

    def _expect_reading(self) -> None:
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.unread_timeout, self._check_reading)

    def _check_reading(self) -> None:
        """End the connection of a client that has read nothing. Closing would wait until it reads the rest."""
        if self.transport.get_write_buffer_size() < self._unread_bytes:
            self._expect_reading()
            return
        if self._answered is not None:
            cast("Scope", self._answered.scope)[UNREAD_KEY] = True
        self.transport.abort()

    def _probe(self, delay: float) -> None:
        """Write what the client skips, and again after some seconds. If the client is gone, the second write fails."""
        cycle = self._answered
        if cycle is None or cycle.response_complete or self.transport.is_closing():
            return
        if not cycle.response_started:
            self.transport.write(_CONTINUE)
        elif heartbeat := cast("Scope", cycle.scope).get(HEARTBEAT_KEY):
            self.transport.write(b"%x\r\n%b\r\n" % (len(heartbeat), heartbeat) if cycle.chunked_encoding else heartbeat)
        self._probe_timer = self.loop.call_later(delay, self._probe, min(2 * delay, _LAST_PROBE))


class _NoHeaders(list[tuple[bytes, bytes]]):
    """Takes the trailers of a chunked body, which no handler reads: they have no limit, and must not become headers."""

    def append(self, _header: tuple[bytes, bytes], /) -> None:
        """Drop a header."""


def _without_chunks(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """Return an application whose responses of unknown length end with the connection, as HTTP/1.0 has it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        has_length = False

        async def send_plain(message: Message) -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not has_length:
                    cycle.chunked_encoding = False
            elif not has_length:
                cycle.expected_content_length = len(message.get("body", b""))  # uvicorn counts down to 0
            await send(message)

        await app(scope, receive, send_plain)

    return wrapped


class BufferedTransport:
    """A transport that joins all writes of one event loop iteration: a head and its body, or several events.

    A separate write for each would cost a system call and a packet, and wake the client once more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write the data at the end of this loop iteration."""
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(data)

    def close(self) -> None:
        """Write what is pending, then close. A client that does not read the rest in time gets no more of it."""
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def flush(self) -> None:
        """Write what is pending now."""
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.write(b"".join(pending))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
