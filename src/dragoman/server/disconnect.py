"""Noticing that a client has left while its answer is still in the making."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

_MOMENT = 0.05
"""Seconds before a client is watched: an answer that is there by then is not worth a task."""


class ClientGone(Exception):  # noqa: N818 - what happened, not a fault
    """Nobody waits for this answer any more."""


class UntilGone:
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
