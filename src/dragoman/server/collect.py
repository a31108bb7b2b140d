"""The runs of one request, and the plain response that is collected from them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from dragoman.core import log
from dragoman.core.accumulate import AccumulatedMessage, with_earlier_usage
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DecodedRequest, Dialect, ResponseIdentity
from dragoman.runs.run import Run
from dragoman.server.payload_log import log_event

RequestT = TypeVar("RequestT", bound=DecodedRequest)
StartRuns: TypeAlias = Callable[[Iterable[int]], Awaitable[list[Run]]]
"""Starts one run for each of the given choices of a request."""


class RunGroup:
    """The runs of one request: one for each choice that the client asked for.

    It has one reader. The owner calls `cancel` at the end, however the request ended.

    Args:
        start: Starts runs.
        trace: Whether every event is logged.

    Attributes:
        runs: The current run of each choice.
        all_runs: Those, and the runs whose responses were rejected.
        given_identity: What names the response, if another process has named it; None: the first run does.
    """

    def __init__(self, start: StartRuns, *, trace: bool = False) -> None:
        self.given_identity: ResponseIdentity | None = None
        self._start_runs = start
        self._trace = trace
        self.runs: list[Run] = []
        self.all_runs: list[Run] = []
        self._reads: dict[asyncio.Task[list[Event] | None], int] = {}
        self._unread: dict[int, Run] = {}

    @property
    def identity(self) -> ResponseIdentity:
        """Return what names the response: the id and time of the first run, unless they are given."""
        if self.given_identity is not None:
            return self.given_identity
        first = self.runs[0]
        return ResponseIdentity(first.id, first.created)

    async def start(self, choices: int) -> None:
        """Start a run for each choice.

        Raises:
            GatewayError: The runs are not admitted; then none was started.
        """
        self.runs = await self._start_runs(range(choices))
        self.all_runs += self.runs
        self._unread = dict(enumerate(self.runs))

    async def restart(self, choices: Mapping[int, GatewayError]) -> None:
        """Reject the responses of some choices, and start another run for each.

        Raises:
            GatewayError: The new runs are not admitted.
        """
        for choice, error in choices.items():
            self.reject(choice, error)
        await self.cancel("retried")  # the runs have ended; this waits until their slots are free
        for choice, run in zip(choices, await self._start_runs(choices), strict=True):
            self._unread[choice] = self.runs[choice] = run
            self.all_runs.append(run)

    def reject(self, choice: int, error: GatewayError) -> None:
        """Mark a run as failed because its response does not match what was asked for."""
        run = self.runs[choice]
        run.reject(error)
        log.info("run.rejected", run=run.id, error=error.code)

    async def next(self, timeout: float | None) -> list[tuple[int, Event]] | None:  # noqa: ASYNC109 - silence is a result here
        """Return all events since the last call, each with its choice.

        Args:
            timeout: Seconds of silence after which an empty list is returned; None: wait without limit.

        Returns:
            The events; an empty list after silence; None when all runs have succeeded.

        Raises:
            GatewayError: A run failed.
        """
        if len(self.runs) == 1:
            events = await self.runs[0].next(timeout)
            batch = None if events is None else [(0, event) for event in events]
        else:
            batch = await self._next_of_many(timeout)
        if self._trace:
            for choice, event in batch or ():
                log_event(self.runs[choice], event)
        return batch

    async def wait(self) -> None:
        """Wait until all runs have ended, for a reader that needs only their results.

        Raises:
            GatewayError: A run failed.
        """
        if len(self.runs) == 1 and not self._trace:
            await self.runs[0].wait()
            return
        while await self.next(None) is not None:
            pass

    async def cancel(self, reason: str) -> None:
        """End the runs that have not ended. Idempotent. Return when everything they held is released."""
        if not self._reads:
            unsettled = [run for run in self.runs if not run.settled and run.status != "succeeded"]
            if not unsettled:
                return  # a run that has succeeded holds only its slot, until the next iteration of the event loop
            if len(unsettled) == 1:
                await unsettled[0].cancel(reason)
                return
        reads = list(self._reads)
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await asyncio.gather(*(run.cancel(reason) for run in self.runs))

    async def _next_of_many(self, timeout: float | None) -> list[tuple[int, Event]] | None:  # noqa: ASYNC109 - as `next`
        for choice in self._unread.keys() - self._reads.values():
            self._reads[asyncio.create_task(self._unread[choice].next(None))] = choice
        if not self._reads:
            return None
        done, _ = await asyncio.wait(self._reads, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        batch: list[tuple[int, Event]] = []
        for read in done:
            choice = self._reads.pop(read)
            events = read.result()
            if events is None:
                del self._unread[choice]
            batch += [(choice, event) for event in events or ()]
        return batch if batch or self._unread else None


@value_object
class CollectedResponse:
    """A complete plain response.

    Attributes:
        body: The encoded response.
        answers: The messages it was encoded from, by choice.
        warnings: Warnings that only the complete response gives cause for.
    """

    body: bytes
    answers: list[AccumulatedMessage]
    warnings: tuple[RequestWarning, ...]


async def collect(
    dialect: Dialect[RequestT], request: RequestT, group: RunGroup, identity: ResponseIdentity | None = None
) -> CollectedResponse:
    """Wait for the runs of a request and encode the plain response.

    A response that does not match the schema that the client asked for is requested once more.

    Args:
        dialect: The dialect of the request.
        request: The request.
        group: Its runs.
        identity: What names the response. None: the runs whose responses are returned.

    Raises:
        GatewayError: A run failed, or a response does not match its schema twice.
    """
    await group.wait()
    answers = [run.result() for run in group.runs]
    warnings: tuple[RequestWarning, ...] = ()
    if invalid := dialect.invalid_choices(request, answers):
        answers = await _retry(group, answers, invalid)
        if still_invalid := dialect.invalid_choices(request, answers):
            for choice, error in still_invalid.items():
                group.reject(choice, error)
            raise next(iter(still_invalid.values()))
        warnings = tuple(RequestWarning("retried", error.param or "", error.message) for error in invalid.values())
    warnings += dialect.response_warnings(request, answers)
    return CollectedResponse(dialect.encode(request, identity or group.identity, answers), answers, warnings)


async def _retry(
    group: RunGroup, answers: list[AccumulatedMessage], invalid: Mapping[int, GatewayError]
) -> list[AccumulatedMessage]:
    """Run the invalid choices again. The usage of both attempts is counted: both were paid for."""
    await group.restart(invalid)
    await group.wait()
    return [
        with_earlier_usage(group.runs[choice].result(), answer) if choice in invalid else answer
        for choice, answer in enumerate(answers)
    ]
