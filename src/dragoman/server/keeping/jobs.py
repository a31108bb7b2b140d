"""The owner of all jobs: it starts them, tells the archive that they go on, and ends them."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from dragoman.errors import StoreFailed
from dragoman.runs import Run
from dragoman.server.keeping.job import Job
from dragoman.stores.base import Archive

log = structlog.get_logger("dragoman.server")

RENEWAL = 3.0
"""Seconds between two signs of life; an archive has to wait for some of them before it takes a job for abandoned."""


class Jobs:
    """Owns the task of every job.

    Args:
        archive: Where answers are kept.
        renewal: Seconds between two signs of life.

    Attributes:
        holder: Who this is, as the archive knows him.
    """

    def __init__(self, archive: Archive, renewal: float = RENEWAL) -> None:
        self._archive = archive
        self._renewal = renewal
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._count: Callable[[Sequence[Run]], None] = lambda _: None
        self.holder = secrets.token_hex(16)

    def start(self, job: Job) -> None:
        """Let a job run to its end, whoever looks on."""
        task = asyncio.create_task(job.run(), name=job.id)
        job.driven_by(task)
        self._jobs[job.id] = job
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._forget(job, task))
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="jobs.renew")

    def counted_by(self, count: Callable[[Sequence[Run]], None]) -> None:
        """Say who is told of the runs of each job that had no client left at its end."""
        self._count = count

    def get(self, id_: str) -> Job | None:
        """A job that is still at work here."""
        return self._jobs.get(id_)

    async def aclose(self) -> None:
        """Wait for all jobs, whose runs have been ended, and stop. Idempotent."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
            self._renewing = None

    def _forget(self, job: Job, task: "asyncio.Task[None]") -> None:
        self._jobs.pop(job.id, None)
        self._tasks.discard(task)
        if job.lasting:
            self._count(job.choices.every)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            held = {id_: job for id_, job in self._jobs.items() if job.held}
            if held:
                await self._renew_once(held)

    async def _renew_once(self, held: dict[str, Job]) -> None:
        try:
            ours = await self._archive.renew(self.holder)
        except StoreFailed:
            return  # it is in the log; the next time comes soon
        for id_, job in held.items():
            if id_ not in ours and job.held:
                log.info("job.taken", id=id_)
                await job.cancel()
