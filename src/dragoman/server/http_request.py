"""One HTTP request and its response, as ASGI has them: `receive` and `send`."""

import asyncio
import re
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from starlette.types import Message, Scope

from dragoman.server.context import BODY_KEY

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""An interim response, which every client of HTTP/1.1 skips."""
MAX_UNREAD_BYTES = 64 * 1024
"""With more of a body that no handler has read, the socket is not read."""

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_INVALID_IN_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WITHOUT_BODY = frozenset({204, 304})
_OLD_VERSION = "1.0"


class Connection(Protocol):
    """What a request uses of its connection."""

    is_writable: bool

    def write(self, data: bytes) -> None:
        """Write bytes, together with others of this iteration of the event loop."""
        ...

    def read_on(self) -> None:
        """Continue to read, if that was paused."""
        ...

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written."""
        ...

    def end_response(self) -> None:
        """Take note that a response is complete."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        ...


class DateLine:
    """The `date` header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        """Return the line of the current second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._line = second, f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


class HttpRequest:
    """A request that is received, and the response that is sent.

    Attributes:
        scope: The ASGI scope.
        keep_alive: Whether the connection may carry another request afterwards.
        has_more: Whether the body is not complete.
        unread: Bytes of the body that no handler has read.
        disconnected: Whether the client disconnected before the response was complete.
        started: Whether the head of the response was written.
        complete: Whether the response is complete.
        is_chunked: Whether the response is sent in chunks: its length is not known.
    """

    __slots__ = (
        "_awaits_continue",
        "_connection",
        "_date",
        "_has_changed",
        "_is_head",
        "_left",
        "_parts",
        "_waiter",
        "complete",
        "disconnected",
        "has_more",
        "is_chunked",
        "keep_alive",
        "scope",
        "started",
        "unread",
    )

    def __init__(
        self, connection: Connection, scope: Scope, date: DateLine, *, keep_alive: bool, awaits_continue: bool
    ) -> None:
        self.scope = scope
        scope[BODY_KEY] = self.take_body
        self.keep_alive = keep_alive
        self.has_more = True
        self.unread = 0
        self.disconnected = self.started = self.complete = self.is_chunked = False
        self._connection = connection
        self._date = date
        self._awaits_continue = awaits_continue
        self._has_changed = False
        self._is_head: bool = scope["method"] == "HEAD"
        self._left: int | None = None
        """Bytes of the body that `content-length` still promises; None: it promises nothing."""
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(data)
        self.unread += len(data)
        self._wake()

    def end_body(self) -> None:
        """Take the end of the body."""
        self.has_more = False
        self._wake()

    def disconnect(self) -> None:
        """Take note that the client is gone."""
        if not self.complete:
            self.disconnected = True
        self._wake()

    def take_body(self, limit: int) -> bytes | None:
        """Return the body if all of it has arrived and it has at most `limit` bytes, or else None.

        This is `receive` without its wait, for the body of most requests.
        """
        if self.has_more or self.disconnected or self.unread > limit or not self._has_changed:
            return None
        self._has_changed = False
        return self._take()

    async def receive(self) -> Message:
        """Return the next part of the body, or that the client is gone or has its response. See ASGI."""
        if self._awaits_continue and not self._connection.is_closing:
            self._awaits_continue = False
            self._connection.write(CONTINUE)
        if not self.disconnected and not self.complete:
            if not self._has_changed:
                self._connection.read_on()
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
            self._has_changed = False
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._take(), "more_body": self.has_more}

    async def send(self, message: Message) -> None:
        """Send a part of the response. See ASGI.

        Raises:
            RuntimeError: The message is not valid here.
        """
        if not self._connection.is_writable and not self.disconnected:
            await self._connection.drain()
        if self.disconnected:
            return
        if not self.started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"A response begins with `http.response.start`, not with `{message['type']}`.")
            self._start(message["status"], message.get("headers", ()))
        elif self.complete or message["type"] != "http.response.body":
            raise RuntimeError(f"There was no response that `{message['type']}` could continue.")
        else:
            self._send_body(message.get("body", b""), has_more=message.get("more_body", False))

    def _start(self, status: int, headers: "list[tuple[bytes, bytes]]") -> None:
        status_line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        lines = [status_line, self._date(), *[b"%b: %b\r\n" % header for header in headers]]
        values = dict(headers)
        if b"content-length" in values:
            self._left = int(values[b"content-length"])
        if b"close" in values.get(b"connection", b"").lower():
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        if self._left is None and not self._is_head and status not in _WITHOUT_BODY:
            if self.scope["http_version"] == _OLD_VERSION:
                self.keep_alive = False  # the end of the connection is the end of the response
            else:
                self.is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        head = b"".join(lines)
        if _INVALID_IN_HEAD.search(head) or head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("A header of the response contains a control character.")
        self.started = True
        self._awaits_continue = False
        self._connection.write(head + b"\r\n")

    def _send_body(self, body: bytes, *, has_more: bool) -> None:
        if self.is_chunked:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not has_more:
                body += b"0\r\n\r\n"
        elif self._is_head:
            body, self._left = b"", None
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not has_more):
                raise RuntimeError("The body of the response does not have the length that its head promises.")
        if body:
            self._connection.write(body)
        if not has_more:
            self.complete = True
            self._wake()
            self._connection.end_response()

    def _take(self) -> bytes:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.unread = 0
        return body

    def _wake(self) -> None:
        self._has_changed = True
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None
