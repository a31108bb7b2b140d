"""Event sources for stored responses: a job of this process, or the store."""

import asyncio
from collections.abc import Sequence
from typing import Any

from dragoman.core.errors import GatewayError
from dragoman.dialects.shared import sse
from dragoman.server.stored.job import Job
from dragoman.stores.base import ResponseStore

_POLL_INTERVAL = 1.0
"""Seconds between two reads of a response that another gateway generates."""


class JobEvents:
    """The events of a job in this process. See `EventSource`.

    Args:
        job: The job.
        first: The number of the first event to return.
    """

    heartbeat = sse.HEARTBEAT

    def __init__(self, job: Job[Any], first: int = 0) -> None:
        self._job = job
        self._next = first
        self.ended = False
        self.failure: GatewayError | None = None

    async def next(self, timeout: float | None) -> list[bytes]:  # noqa: ASYNC109 - see `EventSource`
        """Return the next events.

        Raises:
            GatewayError: The job failed before its stream had an event.
        """
        job = self._job
        waits = len(job.sent_events) <= self._next or job.failed_early
        if waits and not job.ended:
            await job.wait_for_events(timeout)
        if job.failed_early:
            # Until something was sent, an early failure is a plain HTTP error, not a stream.
            if job.error is not None:
                raise job.error
            return []
        return self._take()

    def fail(self, error: GatewayError) -> list[bytes]:
        """End the stream with the events by which the job itself reported its failure."""
        events = self._take()
        self.failure, self.ended = error, True
        return events

    def _take(self) -> list[bytes]:
        job = self._job
        events = job.sent_events[self._next :]
        self._next += len(events)
        if job.ended:
            self.failure, self.ended = job.error, True
        return events


class StoredEvents:
    """The events of a response in the store, which another gateway may still be generating. See `EventSource`.

    Args:
        store: The store.
        owner: The client that asked for the response.
        id_: The id of the response.
        first: The number of the first event to return.
    """

    heartbeat = sse.HEARTBEAT

    def __init__(self, store: ResponseStore, owner: str, id_: str, first: int = 0) -> None:
        self._store = store
        self._owner = owner
        self._id = id_
        self._next = first
        self.ended = False
        self.failure: GatewayError | None = None

    async def next(self, timeout: float | None) -> list[bytes]:  # noqa: ASYNC109 - see `EventSource`
        """Return the next events; wait at most one poll interval for some.

        Raises:
            StoreFailed: The store failed.
        """
        events = await self._read()
        if not events and not self.ended:
            await asyncio.sleep(_POLL_INTERVAL if timeout is None else min(_POLL_INTERVAL, timeout))
        return events

    async def _read(self) -> list[bytes]:
        # The state is read before the events: a response that is final by then has all its events.
        found = await self._store.get(self._owner, self._id)
        events: Sequence[bytes] = await self._store.events(self._id, self._next)
        self._next += len(events)
        self.ended = found is None or not found.pending
        return list(events)

    def fail(self, error: GatewayError) -> list[bytes]:
        """End the stream."""
        self.failure, self.ended = error, True
        return []
