"""The engine: admits a run, drives it through the backend, and records how it ended."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dragoman.backends.base import Backend, CountsTokens, RunRequest
from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, InvalidRequest, ShuttingDown, TimedOut, UnsupportedFeature
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest, RequestOptions
from dragoman.runs.admission import Admission, RateLimit, Slot
from dragoman.runs.executor import Dispatcher, RunExecutor
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run

log = structlog.get_logger("dragoman.runs")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gateway takes on.

    Attributes:
        max_concurrency: Runs at once.
        max_queue_size: Runs that may wait behind them.
        run_timeout: Seconds a run may take once it has its place.
        requests_per_minute: Requests in 60 seconds; None: no limit.
    """

    max_concurrency: int = 8
    max_queue_size: int = 100
    run_timeout: float = 600.0
    requests_per_minute: int | None = None


class Engine:
    """Owns every run's task from submission to its end.

    Args:
        backend: How Claude is asked, or what chooses between several ways.
        limits: What is taken on.
        thinking: Where there is one way: keeps thinking between the requests of a conversation, if anything does.
        journal: What is known of runs. Whoever made it closes it.

    Attributes:
        limits: The same.
        journal: The same.
    """

    def __init__(
        self,
        backend: Backend | Dispatcher,
        limits: Limits,
        thinking: ReasoningStore | None = None,
        journal: RunRegistry | None = None,
    ) -> None:
        self.journal = journal or RunRegistry()
        self._backend = backend
        self._asked = backend if isinstance(backend, Dispatcher) else RunExecutor(backend, thinking, alone=True)
        self.limits = limits
        self._admission = Admission(limits.max_concurrency, limits.max_queue_size)
        self._rate = RateLimit(limits.requests_per_minute)
        self._tasks: dict[asyncio.Task[None], Run] = {}
        self._closing = False

    @property
    def running(self) -> int:
        """Runs that have a place."""
        return self._admission.running

    @property
    def queued(self) -> int:
        """Runs that wait for one."""
        return self._admission.queued

    @property
    def rate(self) -> RateLimit:
        """The limit on requests a minute, for the headers that tell clients of it."""
        return self._rate

    def submit(self, body: MessagesRequest, model: Model, *, client: str) -> Run:
        """Begin a run. It goes on whether or not its events are read; `Run.cancel` ends it.

        Raises:
            ShuttingDown: The gateway is stopping.
            RateLimited: Too many requests this minute.
            QueueFull: No place, not even in the queue.
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
        """Begin a run for each body of one request: all of them or, where it raises, none.

        Each takes its own place as soon as there is one, and waits for no other.

        Raises:
            GatewayError: As `submit` does.
        """
        self._check_open()
        self._admission.require(len(bodies))
        self._rate.take(asyncio.get_running_loop().time(), len(bodies))
        return [self._begin(body, model, client, request_options) for body in bodies]

    def require(self, count: int) -> None:
        """Make sure that so many runs could begin now: before anything is done for them that takes time and memory.

        Raises:
            GatewayError: As `submit` does.
        """
        self._check_open()
        self._admission.require(count)
        self._rate.require(asyncio.get_running_loop().time(), count)

    async def count_tokens(
        self, body: MessagesRequest, model: Model, request_options: RequestOptions, *, client: str
    ) -> JSONObject:
        """The provider's own count of a prompt's tokens. It takes no place, but counts as a request.

        Raises:
            UnsupportedFeature: The backend cannot tell.
            GatewayError: It cannot be had now.
        """
        self._check_open()
        if not isinstance(self._backend, CountsTokens):
            raise UnsupportedFeature(f"The backend `{self._backend.name}` cannot count tokens.", code="cannot_count")
        self._rate.take(asyncio.get_running_loop().time(), 1)
        return await self._backend.count_tokens(RunRequest("count", model, body, request_options, client))

    async def aclose(self, grace: float) -> None:
        """Take nothing new, let runs finish, then end what is left.

        Args:
            grace: Seconds that runs have to finish.
        """
        self._closing = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace)
        for run in list(self._tasks.values()):
            run.abort(ShuttingDown("The gateway stopped before the answer was whole.", retry_after=5))
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _check_open(self) -> None:
        if self._closing:
            raise ShuttingDown("The gateway is stopping. Try again in a moment.", retry_after=5)

    def _begin(self, body: MessagesRequest, model: Model, client: str, request_options: RequestOptions) -> Run:
        ticket = self._admission.enter()
        run = Run(client, model.id, self.journal.note)
        if self.journal.content:
            run.asked = body
        self.journal.note(run)
        request = RunRequest(run.id, model, body, request_options, client)
        task = asyncio.create_task(self._drive(run, ticket, request), name=run.id)
        run.driven_by(task)
        self._tasks[task] = run
        # Also reached when the task is cancelled before its first step, where no code of its own would run.
        task.add_done_callback(lambda done: self._ended(done, ticket))
        return run

    def _ended(self, task: "asyncio.Task[None]", ticket: Slot) -> None:
        ticket.leave()
        run = self._tasks.pop(task)
        if not run.ended:
            run.cancelled()
        log.info(
            "run.end",
            run=run.id,
            status=run.status,
            model=run.model,
            path=run.path,
            upstream=run.upstream,
            client=run.client,
            reason=run.reason,
            error=run.error.code if run.error else None,
            stages={name: round(seconds, 4) for name, seconds in run.stages.items()},
            usage=run.usage,
        )
        run.mark_released()

    def _expire(self, run: Run) -> None:
        seconds = f"{self.limits.run_timeout:g}"
        run.abort(TimedOut(f"The run took longer than {seconds} seconds and was ended (--run-timeout)."))

    async def _drive(self, run: Run, ticket: Slot, request: RunRequest) -> None:
        try:
            await ticket.wait()
            run.mark_running()
            limit = asyncio.get_running_loop().call_later(self.limits.run_timeout, self._expire, run)
            try:
                await self._asked.ask(request, run)
            finally:
                limit.cancel()
        except GatewayError as error:
            run.failed(error)
        except RecursionError:
            # JSON within JSON that could just be read; nothing else recurses.
            run.failed(InvalidRequest("The request is nested too deeply.", code="invalid_json"))
        except Exception as error:
            log.exception("run.broke", run=run.id)
            run.failed(error)
        else:
            run.succeeded()
