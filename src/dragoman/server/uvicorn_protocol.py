"""Uvicorn's HTTP protocol, with fewer writes to the socket and with time limits, also for old and half-closed clients.

All writes of one event loop iteration become one.
"""

import asyncio
from typing import ClassVar, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dragoman.server.context import HEARTBEAT_KEY

_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n"
    b"connection: close\r\n\r\nThe request did not arrive in time.\n"
)
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
    """

    head_timeout: ClassVar[float] = 60.0

    _buffer: "BufferedTransport"
    _head_timer: asyncio.TimerHandle | None = None
    _head_begun = False
    _probe_timer: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    """The request that is being answered. `cycle` is the newest one, which may have to wait for it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wrap the transport of a new connection."""
        self._buffer = BufferedTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._buffer))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and tell the request that its client is gone."""
        self._head_arrived()
        if self._probe_timer is not None:
            self._probe_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes. What is left of a request that was answered early has a time limit, too."""
        super().data_received(data)
        newest = cast("RequestResponseCycle | None", self.cycle)
        is_left_over = newest is not None and newest.response_complete
        if is_left_over and self._head_timer is None and self.timeout_keep_alive_task is None:
            self._expect_head()

    def on_message_begin(self) -> None:
        """Take the first byte of a request. It starts the time limit of its head."""
        if self._head_timer is None:
            self._expect_head()
        self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin the request whose head has arrived."""
        self._head_arrived()
        super().on_headers_complete()

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
        """Write what is pending, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write what is pending now."""
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.write(b"".join(pending))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
