"""One HTTP exchange: the body in, the answer out, and the client's going away noticed in between."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from starlette.types import Message, Receive, Scope, Send

from dragoman.simulator.faults import ApiProblem

MAX_BODY = 32 * 1024 * 1024
"""The API's limit of a request, in bytes."""

Cut = Callable[[Scope], None]
"""Aborts the connection of a request, as if the network broke."""


class ClientGone(Exception):  # noqa: N818 - a signal, not an error
    """The client closed the connection before the answer was whole."""


class Exchange:
    """Use as a context manager: on leaving, nothing of it runs any longer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, cut: Cut) -> None:
        self.scope = scope
        self.headers: Mapping[str, str] = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        self.started = False
        self._receive = receive
        self._send = send
        self._cut = cut
        self._watch: asyncio.Task[Message] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None and not self._watch.done():
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ApiProblem: 413, after the whole of it was read, so that the client reads the answer.
            ClientGone: It never came.
        """
        chunks, size = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            size += len(message.get("body", b""))
            if size <= MAX_BODY:
                chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if size > MAX_BODY:
            raise ApiProblem(413)
        return b"".join(chunks)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        self.started = True
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a part of the body.

        Raises:
            ClientGone: Nobody reads it.
        """
        if self._watch is not None and self._watch.done():
            raise ClientGone
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def pause(self, waiting: Awaitable[object]) -> None:
        """Wait for something, but no longer than the client does.

        Raises:
            ClientGone: The client did not wait.
        """
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._receive())
        awaited = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait({awaited, self._watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            awaited.cancel()
        if self._watch.done():
            raise ClientGone

    async def silence(self) -> None:
        """Say nothing until the client goes.

        Raises:
            ClientGone: Always.
        """
        await self.pause(asyncio.Event().wait())

    def cut(self) -> None:
        """Break the connection.

        Raises:
            ClientGone: Always.
        """
        self._cut(self.scope)
        raise ClientGone
