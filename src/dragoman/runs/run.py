"""One run: the execution of one request. Its state, its events, its reader and its subscribers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeAlias

from dragoman.core import log
from dragoman.core.accumulate import AccumulatedMessage, ApiCalls, MessageAccumulator, merge_usage
from dragoman.core.errors import GatewayError, InternalError, RunCancelled, ShuttingDown, TimedOut
from dragoman.core.events import BlockDelta, Event, MessageDelta, MessageStart, Path, Retrying, Started
from dragoman.core.ids import new_id
from dragoman.core.messages import MessagesRequest, Usage
from dragoman.core.moving_timer import MovingTimer
from dragoman.core.trace_context import TraceContext
from dragoman.core.warnings import RequestWarning
from dragoman.limits.pools import Hold
from dragoman.runs.admission import Limit, Ticket
from dragoman.runs.prompt_parts import CacheUse

Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]

_MAX_SUBSCRIBER_EVENTS = 1000
_TIMER_SECONDS = 0.002
"""A timer of the event loop may fire this much early: a retry was made then."""
_PROCESS_ENDED = "runtime_failed"


class Subscriber:
    """Receives the events of a run, in addition to its reader.

    A subscriber that starts late or is slow misses events. It then reads the run's result instead, so its memory is
    bounded.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._missed = True

    def add(self, event: Event) -> None:
        """Add an event of the run."""
        if len(self._events) < _MAX_SUBSCRIBER_EVENTS:
            self._events.append(event)
        else:
            self._missed = True
        self._changed.set()

    def wake(self) -> None:
        """Wake the subscriber: the run's status has changed."""
        self._changed.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, at most this long. Return whether there is one."""
        try:
            async with asyncio.timeout(seconds):
                return await self._changed.wait()
        except TimeoutError:
            return False

    def take(self) -> list[Event] | None:
        """Return the events since the last call; None if some were missed: `Run.result` has all of them."""
        self._changed.clear()
        events, self._events = self._events, []
        missed, self._missed = self._missed, False
        return None if missed else events


class Run:
    """The execution of one request: queued, then running, then succeeded, failed or cancelled.

    The engine's task is its only writer. One reader takes its events with `next`, or waits for its end with `wait`.
    Events are not held back for a slow reader: the model's own output limit bounds them.

    Attributes:
        id: `run_` and 32 hexadecimal digits.
        created: Creation time in whole seconds since 1970, as responses report it.
        created_at: The same with fractions.
        client: The client, by its key's name.
        request_id: The id of the HTTP request.
        endpoint: The path of the HTTP request.
        request_body: The body for the model, if it is recorded.
        model: The model's id.
        status: The current status.
        ended: Whether no more events will come.
        path: How the response is produced, once known.
        upstream: The upstream in use, if there are several.
        has_output: Whether the model has sent anything.
        request_warnings: What the dialect could not pass on as requested.
        warnings: What else could not be done as requested.
        stages: Seconds spent in `queue`, `process`, `replay`, `first_token` and in `total`, as far as known.
        usage: Token counts of the response, as far as the API has reported them.
        retries: How often a call was repeated that failed before any part of a response.
        nanodollars: What it cost, once it has ended and that was asked for.
        calls: The usage of each API call. The executor feeds it: here the parts of a response are joined already.
        error: The error that the run failed with.
        reason: Why the run was cancelled.
        source_id: The id of the run whose response this one repeats; None: it is executed itself. One that repeats a
            response costs nothing.
        reservation: What the run has reserved under limits and budgets, if the engine has a meter.
        on_sent: Called before a request is sent to the backend.
        on_output: Called when a response begins: the API has counted its input.
        sent_body: The body as it was sent to the backend, until the run has ended.
        sent_at: When it was sent, in monotonic seconds.
        cache_use: What was read from Claude's cache, once that was compared.
        trace: Its position in a trace; None: it has none.
    """

    def __init__(
        self,
        client: str,
        model: str,
        on_change: "Callable[[Run], None] | None" = None,
        timeout: float | None = None,
    ) -> None:
        """Create a queued run.

        Args:
            client: The client, by its key's name.
            model: The model's id.
            on_change: Called after each change of the status. An error that it raises is logged and ignored.
            timeout: Seconds that the run may spend running; None: no limit. Time in the queue does not count.
        """
        self.id = new_id("run_")
        self.created_at = time.time()
        self.created = int(self.created_at)
        self.client = client
        self.request_id: str | None = None
        self.endpoint: str | None = None
        self.request_body: MessagesRequest | None = None
        self.model = model
        self.status: Status = "queued"
        self.ended = False
        self.path: Path | None = None
        self.upstream: str | None = None
        self.has_output = False
        self.request_warnings: tuple[RequestWarning, ...] = ()
        self.warnings: tuple[RequestWarning, ...] = ()
        self.stages: dict[str, float] = {}
        self.usage: Usage | None = None
        self.nanodollars: int | None = None
        self.retries = 0
        self._retry_at = 0.0
        self.calls = ApiCalls()
        self.error: GatewayError | None = None
        self.reason: str | None = None
        self.source_id: str | None = None
        self.reservation: Hold | None = None
        self.on_sent: Callable[[Run], None] | None = None
        self.on_output: Callable[[Run], None] | None = None
        self.sent_body: MessagesRequest | None = None
        self.sent_at = 0.0
        self.cache_use: CacheUse | None = None
        self.trace: TraceContext | None = None

        self._on_change = on_change
        self._timeout = self._seconds_left = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._started_at = self._status_since = time.perf_counter()
        self._sent_at: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._ticket: Ticket | None = None
        self._settled = asyncio.Event()
        self._proceed: asyncio.Event | None = None
        self._before: Callable[[], Awaitable[None]] | None = None

        self._accumulator = MessageAccumulator()
        self._events: list[Event] = []
        self._collects_events = True
        self._reader: asyncio.Future[None] | None = None
        self._silence: MovingTimer | None = None
        self._subscribers: list[Subscriber] = []

    @property
    def settled(self) -> bool:
        """Whether the run has ended and released everything it held."""
        return self._settled.is_set()

    # For the reader.

    async def next(self, timeout: float | None) -> list[Event] | None:  # noqa: ASYNC109 - a timeout is a result, not an error
        """Return all events since the last call.

        Args:
            timeout: Seconds without an event after which an empty list is returned; None: no limit.

        Returns:
            The events; an empty list after the timeout; None when the run succeeded or was cancelled and all events
            were taken.

        Raises:
            GatewayError: The run failed. Raised once all events before the failure were taken.
        """
        if not self._events and not self.ended:
            await self._wait_for_events(timeout)
        if self._events:
            events, self._events = self._events, []
            return events
        if self.error is not None:
            raise self.error
        return None if self.ended else []

    async def wait(self) -> None:
        """Wait for the end of the run, without its events: the reader wants `result` only.

        Raises:
            GatewayError: The run failed.
        """
        self._collects_events = False
        self._events.clear()
        while not self.ended:
            await self._wait_for_events(None)
        if self.error is not None:
            raise self.error

    def result(self) -> AccumulatedMessage:
        """Return the message up to now.

        Raises:
            UpstreamFailed: No message was started.
        """
        return self._accumulator.result()

    def reject(self, error: GatewayError) -> None:
        """Record that the response is not valid for its request, which only the reader can tell.

        The run counts as failed, whether it has ended or not.
        """
        self.error = error
        if self.ended:
            self.status = "failed"
            self.notify()

    # For everyone.

    def set_origin(self, request_id: str, endpoint: str, warnings: tuple[RequestWarning, ...] = ()) -> None:
        """Record the HTTP request that the run belongs to, and its warnings."""
        self.request_id, self.endpoint, self.request_warnings = request_id, endpoint, warnings

    def hold(self) -> None:
        """Keep the run from asking Claude until `proceed`. Call this before the run had time to start."""
        self._proceed = asyncio.Event()

    def proceed(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let a run that is held ask Claude.

        Args:
            before: Called when the run has left the queue. If it raises, Claude is not asked.
        """
        self._before = before
        if self._proceed is not None:
            self._proceed.set()

    @contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        """Receive the run's events, in addition to its reader."""
        subscriber = Subscriber()
        self.add_subscriber(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.remove(subscriber)

    def add_subscriber(self, subscriber: Subscriber) -> None:
        """Pass events and changes on to a subscriber, until the end of the run."""
        self._subscribers.append(subscriber)

    async def wait_until_settled(self) -> None:
        """Wait until the run has ended and released everything it held."""
        await self._settled.wait()

    async def cancel(self, reason: str, error: RunCancelled | None = None) -> None:
        """Cancel the run, and return when it has released everything it held. Idempotent.

        Args:
            reason: A few words for the log.
            error: Raised to the reader, if it was not the reader that cancelled.
        """
        if self.reason is None and not self.ended:
            self.reason = reason
        if error is not None and not self.ended and self.error is None:
            self.error = error
        if self._task is not None:
            if not self.ended:
                self._task.cancel()
            await self._settled.wait()

    # For the engine and what it calls: `dragoman.runs.executor` and `dragoman.routing`.

    def attach(self, task: "asyncio.Task[None]", ticket: Ticket) -> None:
        """Set the task that `cancel` cancels, and the ticket that holds the run's slots."""
        self._task, self._ticket = task, ticket

    async def wait_until_allowed(self) -> None:
        """Wait while the run is held. Call this when it has left the queue."""
        if self._proceed is not None:
            await self._proceed.wait()
        if self._before is not None:
            await self._before()

    async def acquire_slot(self, limit: Limit) -> None:
        """Take a slot of an upstream. While there is none the run is queued, and holds no slot of the gateway."""
        if self._ticket is not None and not self._ticket.acquire(limit):
            self._mark_queued()
            await self._ticket.wait()

    def release_slot(self) -> None:
        """Give the upstream's slot back."""
        if self._ticket is not None:
            self._ticket.release_upstream()

    def mark_running(self) -> None:
        """Record that the run holds its slots and leaves the queue. Do nothing if it is running."""
        if self.status == "queued":
            self._change_status("running")
            if self._seconds_left is not None:
                self._timer = asyncio.get_running_loop().call_later(self._seconds_left, self._expire)

    def set_upstream(self, upstream: str) -> None:
        """Record the upstream that is tried now. Warnings about an earlier upstream do not apply to it."""
        self.upstream, self.warnings = upstream, ()

    def mark_sent(self, body: MessagesRequest) -> None:
        """Record the body that is sent now. It is compared with others when Claude has counted it."""
        self.sent_body, self.sent_at = body, time.monotonic()
        if self.on_sent is not None:
            self.on_sent(self)

    def add_warnings(self, warnings: tuple[RequestWarning, ...]) -> None:
        """Record what could not be done as requested."""
        self.warnings += warnings

    def on_event(self, event: Event) -> None:
        """Record an event; see `on_events`."""
        self.on_events((event,))

    def on_events(self, events: Iterable[Event]) -> None:
        """Record events, and pass them on to the reader and the subscribers as the accumulator returns them."""
        add = self._accumulator.add
        for event in events:
            if type(event) is not BlockDelta:  # the most frequent event
                self._note(event)
            elif self._sent_at is not None:
                self.stages["first_token"] = time.perf_counter() - self._sent_at
                self._sent_at = None
            passed = add(event)
            for subscriber in self._subscribers:
                subscriber.add(passed)
            if self._collects_events:
                self._events.append(passed)
        if self._collects_events:
            self._wake_reader()

    def _note(self, event: Event) -> None:
        if type(event) is MessageStart:
            self.has_output = True
            message: Any = event.raw["message"]  # checked when it was read
            self.usage = merge_usage(self.usage, message.get("usage")) or self.usage
            if self.on_output is not None:
                self.on_output(self)
        elif type(event) is MessageDelta:
            self.usage = merge_usage(self.usage, event.raw.get("usage")) or self.usage
        elif type(event) is Started:
            self.path = event.path
            self.add_warnings(event.warnings)
            self.stages.update(event.stages)
            self._sent_at = time.perf_counter()
        elif type(event) is Retrying:
            self.retries += 1
            self._retry_at = time.perf_counter() + event.delay - _TIMER_SECONDS

    def mark_succeeded(self) -> None:
        """Record that the response is complete."""
        self._end("succeeded")

    def mark_cancelled(self) -> None:
        """Record that the run was cancelled."""
        self._end("cancelled")

    def fail(self, error: Exception) -> None:
        """Record an error. One without a message for clients becomes an `InternalError`. Do nothing after the end."""
        if not self.ended:
            if not isinstance(error, GatewayError):
                error = InternalError(f"Internal error in run {self.id}.")
            self.error = error
            self._end("failed")

    def abort(self, error: GatewayError) -> None:
        """Fail the run at once, and cancel its task."""
        self.fail(error)
        if self._task is not None:
            self._task.cancel()

    def mark_released(self) -> None:
        """Record that the run's slots are free. It is the last thing that happens to a run."""
        self._settled.set()

    def _mark_queued(self) -> None:
        """Record that the run has no slots any more, and stop its time limit."""
        if self.status == "running":
            if self._seconds_left is not None:
                self._seconds_left -= time.perf_counter() - self._status_since
            self._stop_timer()
            self._change_status("queued")

    def _expire(self) -> None:
        self.abort(TimedOut(f"The run took longer than {self._timeout:g} seconds and was ended (--run-timeout)."))

    def _end(self, status: Status) -> None:
        self._stop_timer()
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None  # breaks the reference cycle
        cancelled_by_operator = isinstance(self.error, RunCancelled)
        self.status = "cancelled" if cancelled_by_operator else status if self.error is None else "failed"
        self.ended = True
        now = time.perf_counter()
        if now < self._retry_at and not self._was_answered():
            self.retries -= 1  # it was announced, and is not made
        self.stages["total"] = now - self._started_at
        self._wake_reader()
        self.notify()

    def _was_answered(self) -> bool:
        """Return whether Claude's answer ended the run. The call before it was made then, whenever it was announced."""
        if self.error is None:
            return self.status == "succeeded"
        return not isinstance(self.error, RunCancelled | TimedOut | ShuttingDown) and self.error.code != _PROCESS_ENDED

    def _change_status(self, status: Status) -> None:
        now = time.perf_counter()
        if self.status == "queued":
            self.stages["queue"] = self.stages.get("queue", 0.0) + now - self._status_since
        self.status, self._status_since = status, now
        self.notify()

    def notify(self) -> None:
        """Wake the subscribers and report a change of the run. The status is set before."""
        for subscriber in self._subscribers:
            subscriber.wake()
        if self._on_change is not None:
            try:
                self._on_change(self)
            except Exception as error:  # noqa: BLE001 - a record that cannot be made must not end the run
                log_bug(self.id, error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_for_events(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as for `next`
        self._reader = asyncio.get_running_loop().create_future()
        if timeout is not None:
            if self._silence is None:
                self._silence = MovingTimer(self._wake_reader)
            self._silence.start(timeout)
        try:
            await self._reader
        finally:
            self._reader = None
            if self._silence is not None:
                self._silence.pause()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def log_bug(run_id: str, error: Exception) -> None:
    """Log an unexpected error. A log that cannot be written must not end anything."""
    with suppress(Exception):
        log.error("run.broke", run=run_id, exc_info=error)
