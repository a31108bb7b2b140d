"""Looking on while an answer is made, or reading again how it was."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from dragoman.dialects.shared import sse
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.responses.job import Job
from dragoman.server.stream import STREAM
from dragoman.stores.base import ResponseStore

_POLL = 1.0
"""Seconds between two looks at an answer that is made by somebody else."""


class StreamFollower:
    """Sends the stream of an answer from some event on.

    The status is sent with the first bytes, so that an early failure is a plain HTTP error; but after one heartbeat's
    time of silence it is sent all the same, as for all streams.

    Args:
        context: Whose client follows.
        heartbeat: Seconds of silence after which the stream gets a comment line.
        headers: What is to be told beside it, once it begins.
        first: The number of the first event that is wanted.
    """

    def __init__(
        self, context: RequestContext, heartbeat: float, headers: Callable[[], RawHeaders], first: int = 0
    ) -> None:
        self._exchange = context
        self._heartbeat = heartbeat
        self._headers = headers
        self._next = first
        self._clock = asyncio.get_running_loop().time
        self._spoke = self._clock()

    async def job(self, job: Job[Any]) -> None:
        """Follow a job to its end.

        Raises:
            GatewayError: It failed and nothing has been sent yet.
        """
        while True:
            ended = job.ended
            if job.error and job.early and not self._exchange.status:
                raise job.error
            if not await self._pass_on(job.told[self._next :]):
                if ended:
                    break
                await job.news(self._patience())
                await self._beat()
        self._exchange.error = job.error
        await self._end()

    async def archive(self, archive: ResponseStore, owner: str, id_: str) -> None:
        """Follow an answer that is kept, and perhaps made by another gateway, to its end."""
        while True:
            found = await archive.get(owner, id_)
            told = await self._pass_on(await archive.events(id_, self._next))
            if found is None or not found.pending:
                break
            if not told:
                await asyncio.sleep(min(_POLL, self._patience()))
                await self._beat()
        await self._end()

    def _patience(self) -> float:
        return max(0.0, self._spoke + self._heartbeat - self._clock())

    async def _pass_on(self, pieces: Sequence[bytes]) -> bool:
        for piece in pieces:
            await self._send(piece)
        self._next += len(pieces)
        return bool(pieces)

    async def _beat(self) -> None:
        if self._patience() == 0:
            await self._send(sse.HEARTBEAT)

    async def _end(self) -> None:
        await self._send(b"", more=False)

    async def _send(self, data: bytes, *, more: bool = True) -> None:
        if not self._exchange.status:
            headers = [*STREAM, *self._headers()]
            await self._exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._exchange.send({"type": "http.response.body", "body": data, "more_body": more})
        self._spoke = self._clock()
