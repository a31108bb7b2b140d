"""The client's side of a request: reading its body, and noticing that the client disconnected."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from dragoman.core.errors import RequestTooLarge
from dragoman.server.context import RequestContext

_WATCH_DELAY = 0.05
"""Seconds before a disconnect is watched for. A response that is ready sooner is not worth a task."""


class ClientDisconnected(Exception):  # noqa: N818 - an event, not a fault
    """The client closed its connection before the response was complete."""


async def read_body(context: RequestContext, receive: Receive, limit: int) -> bytes:
    """Read a request body of at most `limit` bytes.

    Raises:
        RequestTooLarge: The body is longer, or its `content-length` says so.
        ClientDisconnected: The client disconnected before the end of the body.
    """
    declared = context.headers.get(b"content-length")
    if declared is not None and int(declared) > limit:  # the HTTP server has checked that it is a number
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than {limit} bytes (--max-request-bytes).")


class cancel_on_disconnect:  # noqa: N801 - used like a function: `async with cancel_on_disconnect(receive):`
    """Cancel the body of an `async with` when the client disconnects, and raise `ClientDisconnected`.

    An ASGI server reports a lost client only at the next write, and a thinking model may be silent for minutes. So
    `receive` is watched directly. Nothing else may use `receive` inside the block; what is left of the request body is
    discarded.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        # A timeout that `_watch` triggers: the standard library's own way to cancel one part of a task. It keeps
        # a cancellation from outside apart from ours.
        self._timeout = asyncio.timeout(None)
        self._watch_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._start = asyncio.get_running_loop().call_later(_WATCH_DELAY, self._start_watching)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._start.cancel()
        if self._watch_task is not None:
            self._watch_task.cancel()
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise ClientDisconnected from None
        finally:
            if self._watch_task is not None:
                await asyncio.wait([self._watch_task])

    def _start_watching(self) -> None:
        self._watch_task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the rest of a body that the handler did not read
        self._timeout.reschedule(asyncio.get_running_loop().time())
