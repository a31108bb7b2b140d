"""Noticing that a client has left while its answer is still in the making.

Request bodies, read no further than they may be long.
"""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from dragoman.core.errors import RequestTooLarge

_MOMENT = 0.05
"""Seconds before a client is watched: an answer that is there by then is not worth a task."""


class ClientGone(Exception):  # noqa: N818 - what happened, not a fault
    """Nobody waits for this answer any more."""


class CancelOnDisconnect:
    """Runs its body until the client leaves; then the body is cancelled and `ClientGone` raised.

    Watched for directly: an ASGI server tells of a lost client only at the next write, and a thinking model may leave
    minutes between two. Nothing else may use `receive` meanwhile; what is left of the body then is thrown away.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        # A time limit that the watcher sets off: the standard library's own way to cancel just this part of a task,
        # which keeps a cancellation from outside apart from ours.
        self._scope = asyncio.timeout(None)
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._start = asyncio.get_running_loop().call_later(_MOMENT, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._start.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise ClientGone from None
        finally:
            if self._watcher is not None:
                await asyncio.wait([self._watcher])

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # an empty body, for those who do not read it
        self._scope.reschedule(asyncio.get_running_loop().time())


async def read_body(receive: Receive, declared: bytes | None, limit: int) -> bytes:
    """The whole body.

    Args:
        receive: The request's ASGI channel.
        declared: Its `content-length`, if it has one.
        limit: The most bytes.

    Raises:
        RequestTooLarge: It is longer, or says that it will be.
        ClientGone: The client left before its end.
    """
    if declared is not None and int(declared) > limit:  # the server has checked that it is a number
        raise _too_large(limit)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is over {limit} bytes (--max-request-bytes).")
