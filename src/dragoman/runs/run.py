"""Looking on while a run goes on, without being its reader.

One run: queued, then running, then succeeded, failed or cancelled.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, cast

from dragoman.core.accumulate import AccumulatedMessage, MessageAccumulator
from dragoman.core.errors import GatewayError, InternalError, RunCancelled
from dragoman.core.events import BlockDelta, Event, MessageDelta, MessageStart, Path, Started
from dragoman.core.messages import JSONObject, MessagesRequest, Usage
from dragoman.core.warnings import RequestWarning

_MOST_WAITING = 1000


class Subscriber:
    """Collects what happens in a run, for one who looks on.

    One who comes late, or is slow, has what was said before to be told as a whole, so nothing grows without end.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._missed = True

    def add(self, event: Event) -> None:
        """Something happened."""
        if len(self._events) < _MOST_WAITING:
            self._events.append(event)
        else:
            self._missed = True
        self._news.set()

    def wake(self) -> None:
        """The run stands differently, or is over."""
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Return when there is something new, or after so long; and say whether there is."""
        try:
            async with asyncio.timeout(seconds):
                return await self._news.wait()
        except TimeoutError:
            return False

    def taken(self) -> list[Event] | None:
        """What has come since the last call; None where some of it was missed: what the run has said holds all."""
        self._news.clear()
        events, self._events = self._events, []
        missed, self._missed = self._missed, False
        return None if missed else events


Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Run:
    """What became of one request, and the events it has made so far that nobody has taken yet.

    The engine's task drives it and is its only writer; one reader takes events with `next`. Events are not held back
    for a slow reader: an answer is bounded by the model's own limit.

    Attributes:
        id: `run_` and 32 hexadecimal digits.
        created: Seconds since 1970.
        client: Who asked, as the server knows it.
        request: The id of the request that it answers.
        endpoint: The path that was asked.
        asked: What the model is asked, where that is kept beside the record.
        since: When it was made, in seconds since 1970.
        model: The model's id.
        status: Where it stands.
        path: How the answer is had, once that is known.
        upstream: The account that is asked, where there are several.
        begun: Whether the model has said anything.
        warnings: What could not be done as asked, beside what the dialect knows.
        stages: Seconds spent in `queue`, `process`, `replay`, `first_token` and in `total`, as far as it got.
        usage: Token counts, as far as the API has told them.
        error: Why it failed.
    """

    def __init__(self, client: str, model: str, changed: "Callable[[Run], None]" = lambda _: None) -> None:
        """A run that waits.

        Args:
            client: Who asked.
            model: The model's id.
            changed: Told whenever it stands differently.
        """
        self.id = f"run_{secrets.token_hex(16)}"
        self.since = time.time()
        self.created = int(self.since)
        self.client = client
        self.request: str | None = None
        self.endpoint: str | None = None
        self.asked: MessagesRequest | None = None
        self.model = model
        self.status: Status = "queued"
        self.path: Path | None = None
        self.upstream: str | None = None
        self.begun = False
        self.warnings: tuple[RequestWarning, ...] = ()
        self.stages: dict[str, float] = {}
        self.usage: Usage | None = None
        self.error: GatewayError | None = None
        self.reason: str | None = None
        self._began = time.perf_counter()
        self._asked: float | None = None
        self._changed = changed
        self._watchers: list[Subscriber] = []
        self._answer = MessageAccumulator()
        self._events: list[Event] = []
        self._collects = True
        self._reader: asyncio.Future[None] | None = None
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in {"succeeded", "failed", "cancelled"}

    @property
    def settled(self) -> bool:
        """Whether it has ended and given back all that it held."""
        return self._settled.is_set()

    def result(self) -> AccumulatedMessage:
        """What has been said so far, as one message.

        Raises:
            UpstreamFailed: Nothing has.
        """
        return self._answer.result()

    async def next(self, timeout: float | None) -> list[Event] | None:  # noqa: ASYNC109 - silence is an answer, not an error
        """All events since the last call.

        Args:
            timeout: Seconds of silence after which an empty list is returned; None: it may last for ever.

        Returns:
            The events; an empty list after silence; None when the run ended well or was cancelled and all is taken.

        Raises:
            GatewayError: The run failed; raised once every event before it was taken.
        """
        if not self._events and not self.ended:
            await self._news(timeout)
        if self._events:
            taken, self._events = self._events, []
            return taken
        if self.error is not None:
            raise self.error
        return None if self.ended else []

    async def wait(self) -> None:
        """Wait until the run has ended, for a reader who wants no events, but only what was `said` in the end.

        Raises:
            GatewayError: The run failed.
        """
        self._collects = False
        self._events.clear()
        while not self.ended:
            await self._news(None)
        if self.error is not None:
            raise self.error

    def set_origin(self, request: str, endpoint: str) -> None:
        """Note which request it answers, and at which path that was asked."""
        self.request, self.endpoint = request, endpoint

    @contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        """Look on, beside its reader."""
        watcher = Subscriber()
        self._watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)

    async def cancel(self, reason: str, told: RunCancelled | None = None) -> None:
        """End the run now. Idempotent; returns when everything it held is gone.

        Args:
            reason: A few words for the log.
            told: What its reader is told, where he did not ask for it himself.
        """
        if self.reason is None and not self.ended:
            self.reason = reason
        if told is not None and not self.ended and self.error is None:
            self.error = told
        if self._task is not None:
            if not self.ended:
                self._task.cancel()
            await self._settled.wait()

    def rejected(self, error: GatewayError) -> None:
        """Note that what the run answered is not what was asked for, which only its reader can tell.

        The run counts as failed from then on, whether it has ended or is about to.
        """
        self.error = error
        if self.ended:
            self.status = "failed"
            self._changed(self)

    # What follows is for the engine's task alone.

    def driven_by(self, task: "asyncio.Task[None]") -> None:
        """Name the task that `cancel` ends."""
        self._task = task

    def mark_running(self) -> None:
        """The run left the queue."""
        self.status = "running"
        self.stages["queue"] = time.perf_counter() - self._began
        self._changed(self)
        for watcher in self._watchers:
            watcher.wake()

    def set_upstream(self, upstream: str) -> None:
        """An account is asked, the first one or another; what could not be done at one before does not count."""
        self.upstream, self.warnings = upstream, ()

    def add_warnings(self, warnings: tuple[RequestWarning, ...]) -> None:
        """Something could not be done as asked."""
        self.warnings += warnings

    def on_event(self, event: Event) -> None:
        """Record an event, and pass it on to the reader and the subscribers as the accumulator returns it."""
        match event:
            case BlockDelta():  # most are
                if self._asked is not None:
                    self.stages["first_token"] = time.perf_counter() - self._asked
                    self._asked = None
            case Started(path, stages, warnings):
                self.path = path
                self.add_warnings(warnings)
                self.stages.update(stages)
                self._asked = time.perf_counter()
            case MessageStart(raw):
                self.begun = True
                self._count(cast("JSONObject", raw["message"]).get("usage"))
            case MessageDelta(raw):
                self._count(raw.get("usage"))
            case _:
                pass
        event = self._answer.add(event)
        for watcher in self._watchers:
            watcher.add(event)
        if self._collects:
            self._events.append(event)
            self._wake()

    def succeeded(self) -> None:
        """The answer is whole."""
        self._end("succeeded")

    def failed(self, error: Exception) -> None:
        """The run ended with an error; one that is not ours to show is shown as an internal one."""
        if not self.ended:
            told = error if isinstance(error, GatewayError) else InternalError(f"Internal error in run {self.id}.")
            self.error = told
            self._end("failed")

    def abort(self, error: GatewayError) -> None:
        """The run goes on no longer, though it could: its reader is told at once, and then its task ends."""
        self.failed(error)
        if self._task is not None:
            self._task.cancel()

    def cancelled(self) -> None:
        """The run was ended from outside."""
        self._end("cancelled")

    def mark_released(self) -> None:
        """Its place is free again, and what it did is written down."""
        self._settled.set()

    def _end(self, status: Status) -> None:
        by_operator = isinstance(self.error, RunCancelled)
        self.status = "cancelled" if by_operator else status if self.error is None else "failed"
        self.stages["total"] = time.perf_counter() - self._began
        self._changed(self)
        for watcher in self._watchers:
            watcher.wake()
        self._wake()

    async def _news(self, timeout: float | None) -> None:  # noqa: ASYNC109 - as for `next`
        loop = asyncio.get_running_loop()
        self._reader = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, self._wake)
        try:
            await self._reader
        finally:
            self._reader = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            known = {key: value for key, value in usage.items() if value is not None}
            self.usage = cast("Usage", {**(self.usage or {}), **known})
