"""One response while it is received: the connection feeds bytes, the reader awaits head and body."""

import asyncio
from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dragoman.core.moving_timer import MovingTimer
from dragoman.http.errors import ConnectionBroken, MalformedResponse, ReadTimeout, TransportError

MAX_HEAD_BYTES = 64 * 1024
"""Of status line and headers. The API's own have about 2,000."""

_FIRST_FINAL_STATUS = 200


class IncomingResponse:
    """A response: its head, then the parts of its body.

    The parser calls the `on_...` methods.

    Args:
        on_complete: Called once, when the response is complete.
        silence: The timer of the connection, for all its responses; it calls `time_out` of the current one.

    Attributes:
        status: The HTTP status. 0 until the head is received.
        headers: By name in lower case. Of several with one name, the last.
        complete: Whether all of it was received.
        begun: Whether any byte of it was received.
        reusable: Whether the connection may carry another request: the server keeps it open and has sent nothing more.
        unread: Bytes that were received since the last `read`.
    """

    def __init__(self, on_complete: Callable[[], None], silence: MovingTimer | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.begun = False
        self.reusable = False
        self.unread = 0
        self._on_complete = on_complete
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._error: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._silence = silence or MovingTimer(self.time_out)
        self._loop = asyncio.get_running_loop()
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    async def head(self, seconds: float | None) -> None:
        """Wait for status and headers.

        Args:
            seconds: The time limit in all. None: no limit.

        Raises:
            TransportError: The head was not received.
        """
        deadline = None if seconds is None else self._loop.time() + seconds
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait(None if deadline is None else deadline - self._loop.time())

    async def read(self, seconds: float | None) -> bytes:
        """Return the unread part of the body. Wait if there is none. Empty at the end of the body.

        Args:
            seconds: The time limit without a byte. None: no limit.

        Raises:
            TransportError: The rest was not received. Everything received before is returned first.
        """
        while not self._parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait(seconds)
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.unread = 0
        return data

    # For the connection.

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self.begun = True
        self.unread += len(data)
        if self._parser is None:
            self.reusable = False  # bytes after the response belong to no request
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.reusable = False
            self.fail(MalformedResponse("its response is not HTTP"))
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.fail(MalformedResponse("the headers of its response are too large"))
        self._wake()

    def end_of_stream(self, *, clean: bool) -> None:
        """Take note that the connection is closed. That ends a body without a length, if the end was clean."""
        if self.complete:
            return
        has_length = "content-length" in self.headers or "transfer-encoding" in self.headers
        if clean and self.status and not has_length and self._error is None:
            self._finish()
        else:
            self.fail(ConnectionBroken("the connection broke", begun=self.begun))

    def fail(self, error: TransportError) -> None:
        """End the response with an error. The first error counts."""
        if not self.complete:
            self._error = self._error or error
            self._parser = None
            self._silence.pause()
            self._wake()

    def time_out(self) -> None:
        """Fail the read that is waiting."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ReadTimeout("it sent nothing in time"))

    # For the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if not self.complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the head. The head of an interim response is dropped."""
        if self.complete:
            return
        parser = self._parser
        status = parser.get_status_code() if parser else 0
        if status < _FIRST_FINAL_STATUS:
            self.headers.clear()
        else:
            self.status = status
            self.reusable = bool(parser and parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self.complete:
            self._parts.append(body)

    def on_message_begin(self) -> None:
        """Take the start of a response. No request was sent for a second one."""
        if self.complete:
            self.reusable = False

    def on_message_complete(self) -> None:
        """Take the end of a response. The end of an interim one changes nothing."""
        if self.status and not self.complete:
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        self._parser = None  # breaks the reference cycle
        self._silence.pause()
        self._wake()
        self._on_complete()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, seconds: float | None) -> None:
        self._waiter = self._loop.create_future()
        if seconds is not None:
            self._silence.start(max(seconds, 0.0))
        try:
            await self._waiter
        finally:
            self._silence.pause()
            self._waiter = None
