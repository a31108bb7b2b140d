"""The engine: admits runs, drives each through the backend in a task of its own, and records how it ended."""

import asyncio
from collections.abc import Callable, Sequence

from dragoman.backends.base import Backend, CountsTokens, RunRequest
from dragoman.core import log
from dragoman.core.catalog import Model
from dragoman.core.deferred import DeferredCalls
from dragoman.core.errors import GatewayError, ShuttingDown, UnsupportedFeature, facts_of
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.value_object import replace, value_object
from dragoman.limits.pools import Hold
from dragoman.runs.admission import Admission, Ticket
from dragoman.runs.cache_misses import CacheMisses
from dragoman.runs.executor import Dispatcher, RunExecutor
from dragoman.runs.metering import Admitted, Meter
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run, log_bug


@value_object
class Limits:
    """The gateway's limits.

    Attributes:
        max_concurrency: Runs at once.
        max_queue_size: Runs that may wait behind them.
        run_timeout: Seconds that a run may take, without its time in the queue.
    """

    max_concurrency: int = 8
    max_queue_size: int = 100
    run_timeout: float = 600.0


class Engine:
    """Owns the task of every run, from its submission to its end.

    Args:
        backend: The backend, or a dispatcher that chooses between upstreams.
        limits: The limits.
        thinking: With a single backend: stores thinking between the requests of a conversation; None: not stored.
        registry: The registry of runs. The caller closes it.
        meter: Decides on limits and budgets; None: there are none. The caller closes it.
        observe: Called once with each run that has ended, before what was sent is forgotten.

    Attributes:
        limits: The limits.
        registry: The registry of runs.
        meter: The meter.
        cache_misses: Why Claude's cache was not read.
        deferred: Makes the calls that no response waits for. It is flushed when the engine is closed.
    """

    def __init__(
        self,
        backend: Backend | Dispatcher,
        limits: Limits,
        thinking: ReasoningStore | None = None,
        registry: RunRegistry | None = None,
        meter: Meter | None = None,
        observe: Callable[[Run], None] | None = None,
    ) -> None:
        self.limits = limits
        self.registry = registry or RunRegistry()
        self.meter = meter
        self.cache_misses = CacheMisses()
        self.deferred = DeferredCalls()
        self._observe = observe
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
        holds: Sequence[Hold | None] = (),
    ) -> list[Run]:
        """Start a run for each body of one request: all of them, or none if it raises.

        Each run takes a slot as soon as one is free, and does not wait for the others. What `reserve` has reserved for
        them is released if it raises.

        Raises:
            GatewayError: As for `submit`.
        """
        try:
            self._require(len(bodies))
            return [
                self._start(body, model, client, request_options, hold)
                for body, hold in zip(bodies, holds or [None] * len(bodies), strict=True)
            ]
        except BaseException:
            self.release(holds)
            raise

    async def reserve(
        self, bodies: Sequence[MessagesRequest], model: Model, *, client: str, request_options: RequestOptions
    ) -> Admitted:
        """Reserve what the runs of one request may use under limits and budgets. Submit them, or release it.

        Raises:
            QuotaExceeded: A budget does not suffice.
            RateLimited: A limit is reached.
            GatewayError: As for `submit`.
        """
        if self.meter is None or not bodies:
            return Admitted([None] * len(bodies), bodies, request_options)
        self._require(len(bodies))
        return await self.meter.admit(client, model, bodies, request_options)

    def release(self, holds: Sequence[Hold | None]) -> None:
        """Release what was reserved for runs that are not started."""
        if self.meter is not None:
            self.meter.release([hold for hold in holds if hold is not None])

    async def check(self, count: int, model: Model, *, client: str) -> None:
        """Check that a number of runs could start now. Call it before work for them that takes time and memory.

        Raises:
            GatewayError: As for `submit`, and as for `reserve` if there were too many requests.
        """
        self._require(count)
        if self.meter is not None:
            await self.meter.check_requests(client, model.id, count)

    def _require(self, count: int) -> None:
        self._check_open()
        self._admission.require(count)

    async def take_request(self, client: str, model: str = "") -> None:
        """Count a request that is no run.

        Raises:
            RateLimited: There were too many in this minute.
        """
        if self.meter is not None:
            await self.meter.take_request(client, model)

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
        await self.take_request(client, model.id)
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
        self.deferred.flush()

    def _check_open(self) -> None:
        if self._closing:
            raise ShuttingDown("The gateway is stopping. Try again later.", retry_after=5)

    def _start(
        self, body: MessagesRequest, model: Model, client: str, request_options: RequestOptions, hold: Hold | None
    ) -> Run:
        ticket = self._admission.enter()
        run = Run(client, model.id, self._note, self.limits.run_timeout)
        if request_options.trace is not None:
            run.trace = request_options.trace.of_run()
            request_options = replace(request_options, trace=run.trace)
        if hold is not None and self.meter is not None:
            run.reservation, run.on_output = hold, self.meter.note_start
            run.on_sent = self.meter.note_call
        if self.registry.content:
            run.request_body = body
        run.notify()
        calls = self.meter.meter_agent(run, model) if self.meter is not None and request_options.agent else None
        request = RunRequest(run.id, model, body, request_options, client, calls)
        task = asyncio.get_running_loop().create_task(self._drive(run, ticket, request), name=run.id)
        run.attach(task, ticket)
        self._tasks[task] = run
        # A callback also runs if the task is cancelled before its first step, when no code of its own does.
        task.add_done_callback(lambda done: self._settle(done, ticket))
        return run

    def _note(self, run: Run) -> None:
        """Note that a run was created, or that its status has changed."""
        if not run.ended:
            self.registry.note(run)
            return
        if self.meter is not None:
            self.meter.note_result(run)
        # The rest is done when the reader, which is awake by now, has taken its turn.
        asyncio.get_running_loop().call_soon(self._record_end, run)

    def _record_end(self, run: Run) -> None:
        settle = (self.meter.note_end,) if self.meter is not None else ()
        for record in (*settle, self.cache_misses.note, self.registry.note):
            try:
                record(run)
            except Exception as error:  # noqa: BLE001 - a reason that cannot be found must not lose the record
                log_bug(run.id, error)

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
        """Free the run's slots. Whatever fails here, the run is released: others wait for that."""
        run = self._tasks.pop(task)
        try:
            ticket.leave()
            if not run.ended:
                run.mark_cancelled()
        finally:
            run.mark_released()
            self.deferred.add(self._observe_end, run)

    def _observe_end(self, run: Run) -> None:
        try:
            _log_end(run)
            if self._observe is not None:
                self._observe(run)
        finally:
            run.sent_body = None


def _log_end(run: Run) -> None:
    log.info(
        "run.end",
        run=run.id,
        request=run.request_id,
        trace=run.trace.id if run.trace else None,
        status=run.status,
        model=run.model,
        path=run.path,
        upstream=run.upstream,
        client=run.client,
        reason=run.reason,
        **facts_of(run.error),
        stages={name: round(seconds, 4) for name, seconds in run.stages.items()},
        usage=run.usage,
        retries=run.retries or None,
    )
