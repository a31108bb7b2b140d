"""The stored responses of this gateway: the jobs that generate them, and finding those that are stored."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.types import Receive

from dragoman.core import log
from dragoman.core.errors import StoreFailed, UnsupportedFeature, UpstreamFailed
from dragoman.core.supervise import SupervisedTask, failures_in, failures_of
from dragoman.core.value_object import replace, value_object
from dragoman.dialects.base import BackgroundFormat
from dragoman.runs.run import Run
from dragoman.server.collect import RequestT
from dragoman.server.context import RequestContext
from dragoman.server.stored.job import Job
from dragoman.stores.base import ResponseStore, StoredEntry

LEASE_RENEWAL = 3.0
"""Seconds between two renewals of a lease. A store waits for several of them before it counts a job as abandoned."""


class Jobs:
    """Owns the tasks of all jobs, and renews their leases.

    Args:
        store: Where responses are stored.
        renewal: Seconds between two renewals of the lease.

    Attributes:
        producer: The name of this process in the leases of the responses that it produces.
        generate: Answers the request of a background response. The application sets it.
    """

    generate: Callable[[RequestContext, Receive], Awaitable[None]]

    def __init__(self, store: ResponseStore, renewal: float = LEASE_RENEWAL) -> None:
        self._store = store
        self._renewal = renewal
        self._jobs: dict[str, Job[Any]] = {}  # jobs of every dialect
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing = SupervisedTask(self._renew, name="jobs.renew", on_failure=_log_failure)
        self._count_runs: Callable[[Sequence[Run]], None] = lambda _: None
        self.producer = secrets.token_hex(16)

    def start(self, job: Job[Any]) -> "asyncio.Task[None]":
        """Run a job to its end, with or without followers. Return its task."""
        task = asyncio.create_task(job.run(), name=job.id)
        job.attach_task(task)
        self._jobs[job.id] = job
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._forget(job, task))
        self._renewing.start()
        return task

    def on_detached_end(self, count: Callable[[Sequence[Run]], None]) -> None:
        """Set the function that counts the runs of each job that ended without a client."""
        self._count_runs = count

    def get(self, id_: str) -> Job[Any] | None:
        """Return a job of this process that has not ended."""
        return self._jobs.get(id_)

    async def hand_over(self) -> None:
        """Have other processes generate the responses that are queued here."""
        queued = {job.id: job for job in self._jobs.values() if job.holds_lease and job.is_queued}
        if queued:
            with suppress(StoreFailed):  # the store has logged it; the jobs are carried out here
                for id_ in await self._store.hand_over(self.producer, list(queued)):
                    log.info("job.handed_over", id=id_)
                    await queued[id_].hand_over()

    def failures(self) -> Mapping[str, str]:
        """Return why the renewal or the store failed; see `dragoman.core.supervise.ReportsFailures`."""
        return {**failures_in(self._renewing), **failures_of(self._store)}

    async def aclose(self) -> None:
        """Wait for all jobs, whose runs have been ended, and stop. Idempotent."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._renewing.aclose()

    def _forget(self, job: Job[Any], task: "asyncio.Task[None]") -> None:
        self._jobs.pop(job.id, None)
        self._tasks.discard(task)
        if job.detached:
            self._count_runs(job.group.all_runs)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            with suppress(StoreFailed):  # the store has logged it, and the next renewal comes soon
                await self._renew_leases({id_: job for id_, job in self._jobs.items() if job.holds_lease})
            self._renewing.recovered()

    async def _renew_leases(self, jobs: dict[str, Job[Any]]) -> None:
        """Renew the lease. Cancel the jobs whose response was settled or deleted by another process."""
        if not jobs:
            return
        held = await self._store.renew(self.producer)
        for id_, job in jobs.items():
            if id_ not in held and job.holds_lease:
                log.info("job.taken", id=id_)
                await job.cancel()


def _log_failure(error: Exception, pause: float) -> None:
    log.error("job.renewal_broke", retry_in=pause, exc_info=error)


@value_object
class StoredResponseService:
    """The stored responses of this gateway, and the jobs that generate them.

    Attributes:
        store: The store.
        jobs: The jobs.
    """

    store: ResponseStore
    jobs: Jobs

    async def find(self, owner: str, id_: str, stored_format: BackgroundFormat[RequestT]) -> StoredEntry | None:
        """Return a response as it is now. One whose gateway stopped renewing its lease is marked as failed.

        A job of this process is alive whatever the clock says: it may have been set, or the machine may have slept.

        Args:
            owner: The client that asked for the response.
            id_: The id of the response.
            stored_format: The stored form of its dialect.

        Raises:
            StoreFailed: The store failed.
        """
        found = await self.store.get(owner, id_)
        if found is None or found.entry.kind != stored_format.kind:
            return None
        entry, job = found.entry, self.jobs.get(id_)
        if found.abandoned and job is None:
            return await self._mark_abandoned(entry, stored_format)
        if (found.pending or found.abandoned) and job and not job.is_queued:
            return replace(entry, body=stored_format.in_progress(entry.body))
        return entry

    async def _mark_abandoned(self, entry: StoredEntry, stored_format: BackgroundFormat[RequestT]) -> StoredEntry:
        error = UpstreamFailed("The gateway stopped before this response was complete. Send the request again.")
        failed = stored_format.failed(entry.body, error)
        if count := len(await self.store.events(entry.id, 0)):
            await self.store.append(entry.id, count, [stored_format.final_event(failed, count)])
        if await self.store.finish(entry.id, failed):
            return replace(entry, body=failed)
        found = await self.store.get(entry.owner, entry.id)
        return found.entry if found else entry


def require_store(service: StoredResponseService | None) -> StoredResponseService:
    """Return the service.

    Raises:
        UnsupportedFeature: This gateway stores no responses.
    """
    if service is None:
        raise UnsupportedFeature(
            "This gateway stores no responses. Start it without `--no-store` (or `DRAGOMAN_STORE=false`).",
            code="nothing_kept",
        )
    return service
