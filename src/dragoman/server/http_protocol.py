"""The HTTP/1.1 protocol of the server: one client connection, its requests one after the other, its time limits.

All writes of one event loop iteration become one.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Scope

from dragoman.core import log
from dragoman.core.moving_timer import MovingTimer
from dragoman.server.context import BODY_KEY, HEARTBEAT_KEY, UNREAD_KEY
from dragoman.server.forwarded import ForwardedHeaders
from dragoman.server.http_request import CONTINUE, MAX_UNREAD_BYTES, DateLine, HttpRequest

_PLAIN_TEXT = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"


def _refusal(status: bytes, text: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n" % status + _PLAIN_TEXT % (len(text), headers, text)


_INVALID = _refusal(b"400 Bad Request", b"Invalid HTTP request received.")
_TIMED_OUT = _refusal(b"408 Request Timeout", b"The request did not arrive in time.\n")
_TOO_LARGE_HEAD = _refusal(b"431 Request Header Fields Too Large", b"The head of the request is too large.\n")
_TOO_MANY_CONNECTIONS = _refusal(
    b"503 Service Unavailable", b"The gateway has no connection left.\n", b"retry-after: 5\r\n"
)
_MAX_HEAD_BYTES = 64 * 1024
_CLOSE_SECONDS = 60.0
_KEEP_ALIVE = 75.0  # longer than clients keep idle connections: they would meet a closed one
_OLD_VERSION = "1.0"
_FIRST_PROBE, _LAST_PROBE = 0.1, 10.0
"""Seconds between the first two probes of a half-closed connection, and the most between two."""
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})
_ASGI: Mapping[str, str] = MappingProxyType({"version": "3.0", "spec_version": "2.3"})


class ServerState:
    """What the connections of a server share.

    Attributes:
        connections: The open connections.
        tasks: The requests that are being answered.
        date: Makes the `date` header.
        forwarded: Finds the address of a client behind a proxy.
        stopping: Whether each connection ends with its next response.
    """

    def __init__(self) -> None:
        self.connections: set[HttpProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.date = DateLine()
        self.forwarded = ForwardedHeaders()
        self.stopping = False


class HttpProtocol(asyncio.Protocol):
    """One client connection. The parser calls the `on_...` methods.

    A client that has sent its request may close its side of the connection and read on. A client that is gone closes
    its side, too. Only the reaction to a write shows the difference: so a half-closed connection is written to, with
    bytes that clients skip, until the response is complete or a write fails.

    Args:
        app: The ASGI application.
        state: What the connections share.

    Attributes:
        head_timeout: Seconds in which the whole head of a request must arrive.
        unread_timeout: Seconds in which the client must read something, while it has not read what was sent.
        max_connections: Connections at the same time. Further ones get 503.
        is_writable: Whether the client reads fast enough.
    """

    head_timeout: ClassVar[float] = 60.0
    unread_timeout: ClassVar[float] = 60.0
    max_connections: ClassVar[int] = 1000

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self.is_writable = True
        self._app = app
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport
        self._server: tuple[str, int] | None = None
        self._client: tuple[str, int] | None = None
        self._pending: list[bytes] = []
        self._drained: asyncio.Future[None] | None = None
        self._is_reading = True

        self._timer = MovingTimer(self._timed_out)
        """Runs while the head of a request, or the next request, is awaited."""
        self._expects_head = False
        self._expects_request = True
        self._made_at = self._loop.time()
        self._has_begun = False
        """Whether any request has begun: then the client of a late one gets an answer."""
        self._unread_bytes = 0
        self._unread_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None

        self._head_bytes: int | None = None
        """Bytes of the head that is arriving; None: none is."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._awaits_continue = self._is_forwarded = False
        self._newest: HttpRequest | None = None
        self._answered: HttpRequest | None = None
        """The request that is being answered, or was last. The newest one may have to wait for it."""
        self._waiting: deque[HttpRequest] = deque()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport both reads and writes
        self._server = _address(transport.get_extra_info("sockname"))
        self._client = _address(transport.get_extra_info("peername"))
        self._state.connections.add(self)
        self._expect_head()
        if len(self._state.connections) > self.max_connections:
            self._refuse(_TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended makes no difference
        """Stop the timers, and tell the requests that their client is gone."""
        self._state.connections.discard(self)
        self._timer.cancel()
        for timer in (self._probe_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        for request in (self._answered, *self._waiting):
            if request is not None:
                request.disconnect()
        self._waiting.clear()
        self._pending.clear()
        self._wake_writer()
        self._parser = self._answered = self._newest = None  # breaks the reference cycles

    def data_received(self, data: bytes) -> None:
        """Take bytes. What is left of a request that was answered early has a time limit, too."""
        parser = self._parser
        if parser is None or self._transport.is_closing():
            return
        if self._expects_request:
            self._expect_head()
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            log.warning("http.invalid", reason="another protocol was asked for")
        except httptools.HttpParserError:
            log.warning("http.invalid", reason="not HTTP/1.1")
            self._refuse(_INVALID)
            return
        newest = self._newest
        if newest is not None and newest.unread > MAX_UNREAD_BYTES and newest.has_more:
            self._stop_reading()
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self._transport.is_closing():
                self._refuse(_TOO_LARGE_HEAD)

    def eof_received(self) -> bool | None:
        """Keep the connection of a client that may still read. The others are closed, which ends their requests."""
        self.flush()  # nothing can be written after the transport has closed itself
        answered, newest = self._answered, self._newest
        if answered is None or newest is None or answered.complete or newest.has_more:
            return None
        if answered.scope["http_version"] == _OLD_VERSION and not answered.started:
            return None  # it cannot be written to yet, and proxies that speak HTTP/1.0 close so when their client left
        newest.keep_alive = False
        self._probe(_FIRST_PROBE)
        return True

    def pause_writing(self) -> None:
        """Expect that the client reads: much of what was sent is not read."""
        self.is_writable = False
        self._expect_reading()

    def resume_writing(self) -> None:
        """Continue to send."""
        self._wake_writer()
        if self._unread_timer is not None:
            self._unread_timer.cancel()

    # For the server.

    def shutdown(self, allowance: float) -> None:
        """Close the connection when its response is complete, or now if no request is expected any more.

        Args:
            allowance: Seconds that a new connection has to send its first request, counted from its start. If a part of
                a request's head is there, the rest has these seconds from now on.
        """
        answered, newest = self._answered, self._newest
        if answered is not None and newest is not None and (self._waiting or not answered.complete):
            newest.keep_alive = False
            return
        now = self._loop.time()
        is_in_head = self._head_bytes is not None
        seconds = (now if is_in_head else self._made_at) + allowance - now
        if seconds > 0 and (is_in_head or not self._has_begun):
            self._timer.start(seconds)
        else:
            self.close()

    # For a request; see `http_request.Connection`.

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write bytes at the end of this iteration of the event loop.

        A head and its body, or several events, would else cost a system call and a packet each.
        """
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(data)

    def flush(self) -> None:
        """Write what is pending now."""
        pending = self._pending
        if pending:
            self._pending = []
            if not self._transport.is_closing():
                self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))

    def close(self) -> None:
        """Write what is pending, then close. A client that does not read the rest in time gets no more of it."""
        self.flush()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written."""
        while not self.is_writable:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def read_on(self) -> None:
        """Continue to read, if that was paused."""
        if not self._is_reading:
            self._is_reading = True
            self._transport.resume_reading()

    def end_response(self) -> None:
        """Take note that a response is complete, and begin to answer the next request.

        The response is written at once, before it is logged, if no other request is running. With several requests
        this would be slower: then all responses of one loop iteration are written one after the other.
        """
        if len(self._state.tasks) == 1:
            self.flush()
        if self._answered is not None and not self._answered.keep_alive:
            self.close()
        if self._transport.is_closing():
            return
        if self._waiting:
            self._answer(self._waiting.popleft())
        elif self._head_bytes is None:
            self._expect_request()
        if not self._waiting:
            self.read_on()

    # For the parser.

    def on_message_begin(self) -> None:
        """Take the first byte of a request."""
        if not self._expects_head:
            self._expect_head()
        self._has_begun = True
        self._head_bytes = 0
        self._url = b""
        self._headers = []
        self._in_head = True
        self._awaits_continue = self._is_forwarded = False

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Trailers of a body are dropped: they have no limit, and no handler reads them."""
        if self._in_head:
            name = name.lower()
            self._headers.append((name, value))
            if name == b"expect":
                self._awaits_continue = value.lower() == b"100-continue"
            elif name in _FORWARDED:
                self._is_forwarded = True

    def on_headers_complete(self) -> None:
        """Begin the request whose head has arrived."""
        parser = self._parser
        if parser is None:
            return
        self._timer.pause()
        self._expects_head = self._expects_request = self._in_head = False
        self._head_bytes = None
        path, raw_path, query = _split_url(self._url)
        version = parser.get_http_version()
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "root_path": "",
            "headers": self._headers,
            "state": {},
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
        }
        if self._is_forwarded:
            self._state.forwarded.apply(scope)
        self._newest = request = HttpRequest(
            self,
            scope,
            self._state.date,
            keep_alive=version != _OLD_VERSION and parser.should_keep_alive() and not self._state.stopping,
            awaits_continue=self._awaits_continue,
        )
        if self._answered is None or self._answered.complete:
            self._answer(request)
        else:
            self._waiting.append(request)
            self._stop_reading()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        request = self._newest
        if request is not None and not request.complete:
            request.feed(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        request = self._newest
        if request is None:
            return
        if not request.complete:
            request.end_body()
        elif not self._transport.is_closing():
            self._expect_request()  # it was answered before its end

    def _answer(self, request: HttpRequest) -> None:
        self._answered = request
        task = self._loop.create_task(self._run(request))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    async def _run(self, request: HttpRequest) -> None:
        try:
            await self._app(request.scope, request.receive, request.send)
        except BaseException:
            log.exception("http.broke", path=request.scope["path"])
        request.scope.pop(BODY_KEY, None)  # breaks a reference cycle, if no handler has
        if request.complete or request.disconnected or self._transport.is_closing():
            return
        if request.started:
            self.close()
            return
        self._refuse(_refusal(b"500 Internal Server Error", b"Internal Server Error"))

    # Time limits.

    def _expect_head(self) -> None:
        self._expects_head, self._expects_request = True, False
        self._timer.start(self.head_timeout)

    def _expect_request(self) -> None:
        self._expects_head, self._expects_request = False, True
        self._timer.start(_KEEP_ALIVE)

    def _timed_out(self) -> None:
        if self._transport.is_closing():
            return
        if self._expects_head and self._answered is not None and not self._answered.complete:
            self._expect_head()  # an earlier request is being answered
        elif self._expects_head and self._has_begun:
            self._refuse(_TIMED_OUT)
        else:
            self.close()

    def _refuse(self, response: bytes) -> None:
        self.write(response)
        self.close()

    def _expect_reading(self) -> None:
        self._unread_bytes = self._transport.get_write_buffer_size()
        self._unread_timer = self._loop.call_later(self.unread_timeout, self._check_reading)

    def _check_reading(self) -> None:
        """End the connection of a client that has read nothing. Closing would wait until it reads the rest."""
        if self._transport.get_write_buffer_size() < self._unread_bytes:
            self._expect_reading()
            return
        if self._answered is not None:
            self._answered.scope[UNREAD_KEY] = True
        self._transport.abort()

    def _probe(self, delay: float) -> None:
        """Write what the client skips, and again after some seconds. If the client is gone, the second write fails."""
        request = self._answered
        if request is None or request.complete or self._transport.is_closing():
            return
        if not request.started:
            self.write(CONTINUE)
        elif heartbeat := request.scope.get(HEARTBEAT_KEY):
            self.write(b"%x\r\n%b\r\n" % (len(heartbeat), heartbeat) if request.is_chunked else heartbeat)
        self._probe_timer = self._loop.call_later(delay, self._probe, min(2 * delay, _LAST_PROBE))

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def _wake_writer(self) -> None:
        self.is_writable = True
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None


def _address(found: object) -> tuple[str, int] | None:
    """Return host and port of a socket; None for one that has none."""
    match found:
        case (str(host), int(port), *_):
            return host, port
        case _:
            return None


@lru_cache(maxsize=256)
def _split_url(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path, the path as it was sent, and the query of a URL."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
