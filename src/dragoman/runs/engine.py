"""The engine: admits runs, drives each through the backend in a task of its own, and records how it ended."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from dragoman.backends.base import Backend, CountsTokens, RunRequest
from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, ShuttingDown, UnsupportedFeature
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest, RequestOptions
from dragoman.runs.admission import Admission, RateLimit, Ticket
from dragoman.runs.executor import Dispatcher, RunExecutor
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run, log_bug

log = structlog.get_logger("dragoman.runs")


@dataclass(frozen=True, slots=True)
class Limits:
    """The gateway's limits.

    Attributes:
        max_concurrency: Runs at once.
        max_queue_size: Runs that may wait behind them.
        run_timeout: Seconds that a run may take, without its time in the queue.
        requests_per_minute: Requests in 60 seconds; None: no limit.
    """

    max_concurrency: int = 8
    max_queue_size: int = 100
    run_timeout: float = 600.0
    requests_per_minute: int | None = None


class Engine:
    """Owns the task of every run, from its submission to its end.

    Args:
        backend: The backend, or a dispatcher that chooses between upstreams.
        limits: The limits.
        thinking: With a single backend: stores thinking between the requests of a conversation; None: not stored.
        registry: The registry of runs. The caller closes it.

    Attributes:
        limits: The limits.
        registry: The registry of runs.
        rate: The limit on requests a minute, for the rate limit headers.
    """

    def __init__(
        self,
        backend: Backend | Dispatcher,
        limits: Limits,
        thinking: ReasoningStore | None = None,
        registry: RunRegistry | None = None,
    ) -> None:
        self.limits = limits
        self.registry = registry or RunRegistry()
        self.rate = RateLimit(limits.requests_per_minute)
        self._backend = backend
        self._dispatcher = (
            backend if isinstance(backend, Dispatcher) else RunExecutor(backend, thinking, only_upstream=True)
        )
        self._admission = Admission(limits.max_concurrency, limits.max_queue_size)
        self._tasks: dict[asyncio.Task[None], Run] = {}
        self._closing = False

    @property
    def running(self) -> int:
        """Runs that hold a slot."""
        return self._admission.running

    @property
    def queued(self) -> int:
        """Runs that wait for a slot."""
        return self._admission.queued

    def submit(self, body: MessagesRequest, model: Model, *, client: str) -> Run:
        """Start a run. It continues whether or not its events are read; `Run.cancel` ends it.

        Raises:
            ShuttingDown: The gateway is stopping.
            RateLimited: There were too many requests in this minute.
            QueueFull: All slots are taken and the queue is full.
        """
        return self.submit_all([body], model, client=client)[0]

    def submit_all(
        self,
        bodies: Sequence[MessagesRequest],
        model: Model,
        *,
        client: str,
        request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS,
    ) -> list[Run]:
        """Start a run for each body of one request: all of them, or none if it raises.

        Each run takes a slot as soon as one is free, and does not wait for the others.

        Raises:
            GatewayError: As for `submit`.
        """
        self._check_open()
        self._admission.require(len(bodies))
        self.rate.take(asyncio.get_running_loop().time(), len(bodies))
        return [self._start(body, model, client, request_options) for body in bodies]

    def require(self, count: int) -> None:
        """Check that a number of runs could start now. Call it before work for them that takes time and memory.

        Raises:
            GatewayError: As for `submit`.
        """
        self._check_open()
        self._admission.require(count)
        self.rate.require(asyncio.get_running_loop().time(), count)

    async def count_tokens(
        self, body: MessagesRequest, model: Model, request_options: RequestOptions, *, client: str
    ) -> JSONObject:
        """Return the provider's count of a prompt's tokens. It takes no slot, but counts as a request.

        Raises:
            UnsupportedFeature: The backend cannot count tokens.
            GatewayError: The count is not available now.
        """
        self._check_open()
        if not isinstance(self._backend, CountsTokens):
            raise UnsupportedFeature(f"The backend `{self._backend.name}` cannot count tokens.", code="cannot_count")
        self.rate.take(asyncio.get_running_loop().time(), 1)
        return await self._backend.count_tokens(RunRequest("count", model, body, request_options, client))

    async def aclose(self, grace: float) -> None:
        """Accept no new runs, wait for the current ones, then end those that remain.

        Args:
            grace: Seconds that runs have to finish.
        """
        self._closing = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for run in list(self._tasks.values()):
            run.abort(ShuttingDown("The gateway stopped before the response was complete.", retry_after=5))
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _check_open(self) -> None:
        if self._closing:
            raise ShuttingDown("The gateway is stopping. Try again later.", retry_after=5)

    def _start(self, body: MessagesRequest, model: Model, client: str, request_options: RequestOptions) -> Run:
        ticket = self._admission.enter()
        run = Run(client, model.id, self.registry.note, self.limits.run_timeout)
        if self.registry.content:
            run.request_body = body
        run.notify()
        request = RunRequest(run.id, model, body, request_options, client)
        task = asyncio.create_task(self._drive(run, ticket, request), name=run.id)
        run.attach(task, ticket)
        self._tasks[task] = run
        # A callback also runs if the task is cancelled before its first step, when no code of its own does.
        task.add_done_callback(lambda done: self._settle(done, ticket))
        return run

    async def _drive(self, run: Run, ticket: Ticket, request: RunRequest) -> None:
        try:
            await ticket.wait()
            await run.wait_until_allowed()
            await self._dispatcher.execute(request, run)
        except GatewayError as error:
            # Before anyone sees it: the reader, followers, stored responses and records. It may quote Claude's words.
            run.fail(error.redacted(self.registry.redactor.reply))
        except Exception as error:  # noqa: BLE001 - logged; the client gets an internal error
            run.fail(error)
            log_bug(run.id, error)
        else:
            run.mark_succeeded()

    def _settle(self, task: "asyncio.Task[None]", ticket: Ticket) -> None:
        """Free the run's slots and log its end. Whatever fails here, the run is released: others wait for that."""
        run = self._tasks.pop(task)
        try:
            ticket.leave()
            if not run.ended:
                run.mark_cancelled()
            with suppress(Exception):
                _log_end(run)
        finally:
            run.mark_released()


def _log_end(run: Run) -> None:
    log.info(
        "run.end",
        run=run.id,
        request=run.request_id,
        status=run.status,
        model=run.model,
        path=run.path,
        upstream=run.upstream,
        client=run.client,
        reason=run.reason,
        error=run.error.code if run.error else None,
        stages={name: round(seconds, 4) for name, seconds in run.stages.items()},
        usage=run.usage,
        retries=run.retries or None,
    )
