"""The runs that answer one request, read as one."""

import asyncio

import structlog

from dragoman.errors import GatewayError
from dragoman.events import Event
from dragoman.runs import Run
from dragoman.server.payloads import log_event

log = structlog.get_logger("dragoman.server")


class Choices:
    """One run for each answer that the client asked for.

    Has one reader. Whoever made it calls `cancel` at the end, whatever happened.

    Attributes:
        runs: The runs, by the answer's index.
        every: Those, and the runs whose answers were not good enough.

    Args:
        trace: Whether every event is logged.
    """

    def __init__(self, *, trace: bool = False) -> None:
        self._trace = trace
        self.runs: list[Run] = []
        self.every: list[Run] = []
        self._waits: dict[asyncio.Task[list[Event] | None], int] = {}
        self._unread: dict[int, Run] = {}

    def add(self, run: Run) -> None:
        """Take one more run, before the first `next`."""
        self._unread[len(self.runs)] = run
        self.runs.append(run)
        self.every.append(run)

    def renew(self, choice: int, run: Run) -> None:
        """Let another run give one of the answers, after the one before has ended and all was read."""
        self._unread[choice] = self.runs[choice] = run
        self.every.append(run)

    def reject(self, choice: int, error: GatewayError) -> None:
        """Note that one of the answers is not what was asked for, though its run did well."""
        run = self.runs[choice]
        run.rejected(error)
        log.info("run.rejected", run=run.id, error=error.code)

    async def next(self, timeout: float | None) -> list[tuple[int, Event]] | None:  # noqa: ASYNC109 - as for `Run.next`
        """All events since the last call, each with its answer's index.

        Args:
            timeout: Seconds of silence after which an empty list is returned; None: it may last for ever.

        Returns:
            The events; an empty list after silence; None when all runs ended well.

        Raises:
            GatewayError: One of them failed.
        """
        batch = await (self._next_of_one(timeout) if len(self.runs) == 1 else self._next_of_many(timeout))
        if self._trace:
            for choice, event in batch or ():
                log_event(self.runs[choice], event)
        return batch

    async def finish(self) -> None:
        """Wait until all runs have ended, for a reader who wants nothing but what they `said` in the end.

        Raises:
            GatewayError: One of them failed.
        """
        if len(self.runs) == 1 and not self._trace:
            await self.runs[0].over()
            return
        while await self.next(None) is not None:
            pass

    async def cancel(self, reason: str) -> None:
        """End the runs that still go on. Idempotent; returns when all they held is gone."""
        if not self._waits and all(run.settled for run in self.runs):
            return
        if len(self.runs) == 1 and not self._waits:
            await self.runs[0].cancel(reason)
            return
        waits = list(self._waits)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await asyncio.gather(*(run.cancel(reason) for run in self.runs))

    async def _next_of_one(self, timeout: float | None) -> list[tuple[int, Event]] | None:  # noqa: ASYNC109
        events = await self.runs[0].next(timeout)
        return None if events is None else [(0, event) for event in events]

    async def _next_of_many(self, timeout: float | None) -> list[tuple[int, Event]] | None:  # noqa: ASYNC109
        for choice in self._unread.keys() - self._waits.values():
            self._waits[asyncio.create_task(self._unread[choice].next(None))] = choice
        if not self._waits:
            return None
        done, _ = await asyncio.wait(self._waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        batch: list[tuple[int, Event]] = []
        for wait in done:
            choice = self._waits.pop(wait)
            events = wait.result()
            if events is None:
                del self._unread[choice]
            batch += [(choice, event) for event in events or ()]
        return batch if batch or self._unread else None
