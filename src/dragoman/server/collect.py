"""The runs that answer one request, read as one.

Making a plain answer: events folded, and one more try where an answer is not what was asked for.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeAlias

import structlog

from dragoman.core.accumulate import AccumulatedMessage, with_earlier_usage
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import Dialect, Request, ResponseIdentity
from dragoman.runs.run import Run
from dragoman.server.payload_log import log_event

log = structlog.get_logger("dragoman.server")


class RunGroup:
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
        run.reject(error)
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
            await self.runs[0].wait()
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


Submit: TypeAlias = Callable[[Iterable[int]], list[Run]]
"""Begins a run for each of these choices of a request."""


class CollectedResponse(Generic[Request]):
    """Makes one plain answer of all choices.

    Attributes:
        warnings: What the client is to be warned of in the answer, once it is made.
        answers: What it is made of.
    """

    def __init__(self, dialect: Dialect[Request], decoded: Request, choices: RunGroup, submit: Submit) -> None:
        self._codec = dialect
        self._decoded = decoded
        self._choices = choices
        self._submit = submit
        self.warnings: tuple[RequestWarning, ...] = ()
        self.answers: list[AccumulatedMessage] = []

    async def make(self) -> bytes:
        """The answer's body.

        Raises:
            GatewayError: A run failed, or an answer was at fault twice.
        """
        answers = list((await self._told(range(len(self._choices.runs)))).values())
        if faults := self._codec.invalid_choices(self._decoded, answers):
            answers = await self._ask_again(answers, faults)
        self.answers = answers
        self.warnings += self._codec.response_warnings(self._decoded, answers)
        first = self._choices.runs[0]
        return self._codec.encode(self._decoded, ResponseIdentity(first.id, first.created), answers)

    async def _told(self, awaited: Iterable[int]) -> dict[int, AccumulatedMessage]:
        """The whole answers of the choices that are awaited."""
        await self._choices.finish()
        return {choice: self._choices.runs[choice].result() for choice in awaited}

    async def _ask_again(
        self, answers: list[AccumulatedMessage], faults: Mapping[int, GatewayError]
    ) -> list[AccumulatedMessage]:
        """Have the faulty answers given once more.

        Raises:
            GatewayError: One is at fault again.
        """
        self._reject(faults)
        await self._choices.cancel("asked again")  # they have ended; now their places are free, too
        for choice, run in zip(faults, self._submit(faults), strict=True):
            self._choices.renew(choice, run)
        told = await self._told(faults)
        answers = [with_earlier_usage(told[place], one) if place in told else one for place, one in enumerate(answers)]
        if still := self._codec.invalid_choices(self._decoded, answers):
            self._reject(still)
            raise next(iter(still.values()))
        self.warnings += tuple(RequestWarning("retried", fault.param or "", fault.message) for fault in faults.values())
        return answers

    def _reject(self, faults: Mapping[int, GatewayError]) -> None:
        for choice, fault in faults.items():
            self._choices.reject(choice, fault)
