"""One response as it comes: fed by the connection, read by whoever asked."""

import asyncio
from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from dragoman.http.errors import ConnectionBroken, MalformedResponse, ReadTimeout, TransportError

MAX_HEAD = 64 * 1024
"""Bytes that status line and headers may have; the API's own have some 2,000."""

_FINAL = 200


class IncomingResponse:
    """A response: its head, then the parts of its body.

    The parser calls the `on_…` methods.

    Args:
        ended: Called once, when the response is whole.

    Attributes:
        status: The HTTP status; 0 until the head has come.
        headers: By names in lower case; of several with one name the last.
        complete: Whether all of it has come.
        begun: Whether any byte of it has come.
        reusable: Whether the server keeps the connection and has said nothing beyond the response.
        unread: Bytes that came since the body was read.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.begun = False
        self.reusable = False
        self.unread = 0
        self._ended = ended
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._error: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    async def head(self, patience: float) -> None:
        """Wait for status and headers, so many seconds in all.

        Raises:
            TransportError: They do not come.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._news(until - loop.time())

    async def read(self, patience: float) -> bytes:
        """All that has come of the body and was not read; waits for some, and is empty at the end.

        Args:
            patience: Seconds without a byte that are borne.

        Raises:
            TransportError: The rest does not come. What came before is read first.
        """
        while not self._parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._news(patience)
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.unread = 0
        return data

    # What follows is for the connection.

    def feed(self, data: bytes) -> None:
        """Take bytes from the socket."""
        self.begun = True
        self.unread += len(data)
        if self._parser is None:
            self.reusable = False  # more than the response was sent: whose would it be?
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.reusable = False
            self.fail(MalformedResponse("what it answered is not HTTP"))
        if not self.status:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self.fail(MalformedResponse("the headers of its answer are too large"))
        self._wake()

    def cut(self, *, clean: bool) -> None:
        """The connection is gone; a body without a length ends so, if the end was a clean one."""
        if self.complete:
            return
        delimited = "content-length" in self.headers or "transfer-encoding" in self.headers
        if clean and self.status and not delimited and self._error is None:
            self._complete()
        else:
            self.fail(ConnectionBroken("the connection broke", begun=self.begun))

    def fail(self, error: TransportError) -> None:
        """Nothing more will come. The first failure counts."""
        if not self.complete:
            self._error = self._error or error
            self._parser = None
            self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those of an interim response are forgotten with it."""
        if not self.complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole, if it is not that of an interim response."""
        if self.complete:
            return
        parser = self._parser
        status = parser.get_status_code() if parser else 0
        if status < _FINAL:
            self.headers.clear()
        else:
            self.status = status
            self.reusable = bool(parser and parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self.complete:
            self._parts.append(body)

    def on_message_begin(self) -> None:
        """A response begins; a second one was not asked for."""
        if self.complete:
            self.reusable = False

    def on_message_complete(self) -> None:
        """The response is whole, if it is not an interim one."""
        if self.status and not self.complete:
            self._complete()

    def _complete(self) -> None:
        self.complete = True
        self._parser = None  # it holds us, and we held it
        self._wake()
        self._ended()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _news(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(max(patience, 0.0), _expire, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None


def _expire(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(ReadTimeout("it gave no sign of life"))
