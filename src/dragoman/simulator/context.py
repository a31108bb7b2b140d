"""One HTTP request as ASGI delivers it: read its body, write its response, and detect that the client disconnected."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive, Scope, Send

from dragoman.simulator.errors import ApiError

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The API's limit for a request body."""

AbortConnection = Callable[[Scope], None]
"""Aborts the connection of a request, as if the network failed."""


class ClientDisconnected(Exception):  # noqa: N818 - a signal, not an error
    """The client closed the connection before the response was complete."""


class RequestContext:
    """A request and its response. Use it as an async context manager: at the end, its task is cancelled."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, abort: AbortConnection) -> None:
        self.scope = scope
        self.headers: Mapping[str, str] = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self._receive = receive
        self._send = send
        self._abort = abort
        self._disconnect: asyncio.Task[Message] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._disconnect is not None and not self._disconnect.done():
            self._disconnect.cancel()
            with suppress(asyncio.CancelledError):
                await self._disconnect

    async def read_body(self) -> bytes:
        """Read the whole body.

        Raises:
            ApiError: 413. A body that is too large is read to its end, so that the client reads the response.
            ClientDisconnected: The body did not arrive completely.
        """
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            size += len(message.get("body", b""))
            if size <= MAX_BODY_BYTES:
                chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if size > MAX_BODY_BYTES:
            raise ApiError(413)
        return b"".join(chunks)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body.

        Raises:
            ClientDisconnected: The client does not read it.
        """
        if self._disconnect is not None and self._disconnect.done():
            raise ClientDisconnected
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def write_json(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        """Send a response with one JSON body."""
        length = {"content-type": "application/json", "content-length": str(len(data))}
        await self.start(status, {**headers, **length})
        await self.write(data, last=True)

    async def wait(self, awaitable: Awaitable[object]) -> None:
        """Wait for something, until the client disconnects.

        Raises:
            ClientDisconnected: The client disconnected first.
        """
        if self._disconnect is None:
            self._disconnect = asyncio.ensure_future(self._receive())
        waiting = asyncio.ensure_future(awaitable)
        try:
            await asyncio.wait({waiting, self._disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._disconnect.done():
            raise ClientDisconnected

    async def wait_for_disconnect(self) -> None:
        """Send nothing until the client disconnects.

        Raises:
            ClientDisconnected: Always.
        """
        await self.wait(asyncio.Event().wait())

    def abort_connection(self) -> None:
        """Break the connection.

        Raises:
            ClientDisconnected: Always.
        """
        self._abort(self.scope)
        raise ClientDisconnected
