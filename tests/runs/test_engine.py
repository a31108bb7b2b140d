"""Runs from submission to their end, on a scripted backend."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import nullcontext
from typing import NoReturn, cast

import pytest

from dragoman.backends.base import Backend, RunRequest
from dragoman.core.catalog import MODELS
from dragoman.core.errors import (
    InternalError,
    Overloaded,
    QueueFull,
    ShuttingDown,
    TimedOut,
    UpstreamFailed,
)
from dragoman.core.events import Event, MessageStart, MessageStop, Retrying, Started
from dragoman.core.log import redirected
from dragoman.core.messages import MessagesRequest
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run

BODY = cast("MessagesRequest", {"model": MODELS[0].id, "messages": []})
STARTED = Started("api")
STOP = MessageStop({"type": "message_stop"})

Script = Callable[[], AsyncGenerator[Event, None]]


class Fake:
    """A backend with one script for all runs, which counts them.

    Attributes:
        now: Runs at this time.
        most: The highest number of runs at once.
        entered: Set when the first run arrives.
    """

    name = "fake"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.now = 0
        self.most = 0
        self.entered = asyncio.Event()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Yield the events of the script."""
        assert request.body is BODY
        self.now += 1
        self.most = max(self.most, self.now)
        self.entered.set()
        try:
            async for event in self.script():
                yield event
        finally:
            # A step of the event loop, as ending a process takes: the slot must be held until then.
            await asyncio.shield(asyncio.sleep(0))
            self.now -= 1


async def quick() -> AsyncGenerator[Event, None]:
    """Two events and the end."""
    yield STARTED
    yield STOP


async def endless() -> AsyncGenerator[Event, None]:
    """One event, then silence."""
    yield STARTED
    await asyncio.Event().wait()


def engine_on(script: Script, **limits: object) -> tuple[Engine, Fake]:
    """Return an engine, and its fake backend."""
    fake = Fake(script)
    return Engine(cast("Backend", fake), Limits(**limits)), fake  # type: ignore[arg-type]


async def finish(run: Run) -> list[Event]:
    """Return all events of a run."""
    events: list[Event] = []
    while (batch := await run.next(30)) is not None:
        events += batch
    return events


async def test_a_run_returns_its_events_and_succeeds() -> None:
    """Its status and stages are set, and its slot is free."""
    engine, _ = engine_on(quick)
    run = engine.submit(BODY, MODELS[0], client="me")
    assert run.status == "queued"
    assert await finish(run) == [STARTED, STOP]
    await run.cancel("over")
    assert (run.status, run.path, run.error) == ("succeeded", "api", None)
    assert {"queue", "total"} <= set(run.stages)
    assert engine.running == 0


async def test_silence_is_an_empty_list() -> None:
    """The reader may do something else and call again."""
    engine, _ = engine_on(endless)
    run = engine.submit(BODY, MODELS[0], client="me")
    assert await run.next(30) == [STARTED]
    assert await run.next(0) == []
    await run.cancel("over")
    assert await run.next(30) is None
    assert run.status == "cancelled"


async def test_sixty_runs_on_four_slots() -> None:
    """All succeed, never more than four at a time."""
    engine, fake = engine_on(quick, max_concurrency=4, max_queue_size=60)
    runs = [engine.submit(BODY, MODELS[0], client="me") for _ in range(60)]
    assert (engine.running, engine.queued) == (4, 56)
    assert await asyncio.gather(*map(finish, runs)) == [[STARTED, STOP]] * 60
    assert fake.most == 4


async def test_a_full_queue_refuses_runs() -> None:
    """Before anything is started."""
    engine, _ = engine_on(endless, max_concurrency=1, max_queue_size=1)
    runs = [engine.submit(BODY, MODELS[0], client="me") for _ in range(2)]
    with pytest.raises(QueueFull):
        engine.submit(BODY, MODELS[0], client="me")
    for run in runs:
        await run.cancel("over")
    assert (engine.running, engine.queued) == (0, 0)


async def test_a_queued_run_that_is_cancelled_leaves_the_queue() -> None:
    """Also if it is cancelled before the first step of its task."""
    engine, fake = engine_on(endless, max_concurrency=1, max_queue_size=1)
    first = engine.submit(BODY, MODELS[0], client="me")
    waiting = engine.submit(BODY, MODELS[0], client="me")
    await waiting.cancel("client gone")
    assert (waiting.status, engine.queued) == ("cancelled", 0)
    await fake.entered.wait()
    await first.cancel("client gone")
    assert (engine.running, fake.now) == (0, 0)


async def test_an_error_comes_after_the_events_before_it() -> None:
    """The reader gets the events, then the error."""

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        raise Overloaded("too much")

    engine, _ = engine_on(script)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(Overloaded, match="too much"):
        await finish(run)
    assert run.status == "failed"


@pytest.mark.parametrize(("delay", "count"), [(60.0, 0), (0.0, 1), (0.001, 1)])
async def test_a_retry_that_was_only_announced_is_not_counted(delay: float, count: int) -> None:
    """As if a process of the runtime ends before or after its next call."""

    async def announced() -> AsyncGenerator[Event, None]:
        yield Retrying(1, delay, "overloaded_error")
        raise UpstreamFailed("The process ended.", code="runtime_failed")

    engine, _ = engine_on(announced)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(UpstreamFailed):
        await finish(run)
    assert run.retries == count


async def test_a_retry_that_claude_refused_is_counted() -> None:
    """Also if its announcement was read late, so that the time of the call has not come yet."""

    async def refused() -> AsyncGenerator[Event, None]:
        yield Retrying(1, 60.0, "overloaded_error")
        raise Overloaded("too much")

    engine, _ = engine_on(refused)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(Overloaded):
        await finish(run)
    assert run.retries == 1


async def test_a_retry_that_a_cancelled_run_waits_for_is_not_counted() -> None:
    """The run ends during the pause before the call."""
    is_announced = asyncio.Event()

    async def waits() -> AsyncGenerator[Event, None]:
        yield Retrying(1, 60.0, "overloaded_error")
        is_announced.set()
        await asyncio.Event().wait()

    engine, _ = engine_on(waits)
    run = engine.submit(BODY, MODELS[0], client="me")
    await is_announced.wait()
    await run.cancel("test")
    assert (run.status, run.retries) == ("cancelled", 0)


async def test_a_recursion_error_is_a_bug_of_the_gateway() -> None:
    """The client's JSON was decoded before: only decoding may call it nested too deeply."""

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        raise RecursionError

    engine, _ = engine_on(script)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(InternalError):
        await run.wait()
    assert run.status == "failed"


async def test_an_unexpected_error_is_shown_as_an_internal_error() -> None:
    """The reader gets the run's id, and no details."""

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        raise KeyError("secret")

    engine, _ = engine_on(script)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(InternalError) as caught:
        await finish(run)
    assert run.id in caught.value.message
    assert "secret" not in caught.value.message


async def test_a_run_that_takes_too_long_is_ended() -> None:
    """By `run_timeout`."""
    engine, fake = engine_on(endless, run_timeout=0.01)
    run = engine.submit(BODY, MODELS[0], client="me")
    with pytest.raises(TimedOut, match="run-timeout"):
        await finish(run)
    await run.cancel("over")
    assert fake.now == 0


async def test_closing_lets_runs_finish() -> None:
    """Meanwhile new runs are refused."""
    gate = asyncio.Event()

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        await gate.wait()
        yield STOP

    engine, fake = engine_on(script)
    finishing = engine.submit(BODY, MODELS[0], client="me")
    await fake.entered.wait()
    closing = asyncio.create_task(engine.aclose(30))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        engine.submit(BODY, MODELS[0], client="me")
    gate.set()
    await closing
    assert finishing.status == "succeeded"


async def test_closing_without_grace_fails_current_runs() -> None:
    """The reader gets an error with the reason."""
    engine, fake = engine_on(endless)
    run = engine.submit(BODY, MODELS[0], client="me")
    await fake.entered.wait()
    await engine.aclose(0)
    with pytest.raises(ShuttingDown):
        await finish(run)
    assert (engine.running, fake.now) == (0, 0)


async def test_the_usage_of_a_run_follows_the_reports_of_the_api() -> None:
    """Counts that a later event does not contain stay as they were."""

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        yield MessageStart({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}})
        yield STOP

    engine, _ = engine_on(script)
    run = engine.submit(BODY, MODELS[0], client="me")
    await finish(run)
    assert run.usage == {"input_tokens": 5, "output_tokens": 1}


class BrokenRegistry(RunRegistry):
    """A registry that fails to record the end of a run."""

    def note(self, run: Run) -> None:
        """Fail at the end."""
        if run.ended:
            raise OSError
        super().note(run)


@pytest.mark.parametrize("broken", ["registry", "log"])
@pytest.mark.parametrize("end", ["success", "failure", "bug", "cancel"])
async def test_a_run_is_released_though_its_end_cannot_be_recorded(broken: str, end: str) -> None:
    """Neither its reader nor the one that cancels it waits for ever, and its slot is free."""

    async def script() -> AsyncGenerator[Event, None]:
        yield STARTED
        if end == "failure":
            raise Overloaded("too much")
        if end == "bug":
            raise KeyError
        if end == "cancel":
            await asyncio.Event().wait()
        yield STOP

    fake = Fake(script)
    registry = BrokenRegistry() if broken == "registry" else None
    engine = Engine(cast("Backend", fake), Limits(), registry=registry)
    with redirected(_fail) if broken == "log" else nullcontext():
        run = engine.submit(BODY, MODELS[0], client="me")
        await fake.entered.wait()
        async with asyncio.timeout(30):
            if end != "cancel":
                expected = {"success": None, "failure": Overloaded, "bug": InternalError}[end]
                with pytest.raises(expected) if expected else nullcontext():
                    await finish(run)
            await run.cancel("over")
    assert (run.settled, engine.running, fake.now) == (True, 0, 0)
    assert run.status == {"success": "succeeded", "cancel": "cancelled"}.get(end, "failed")


def _fail(*_: object) -> NoReturn:
    raise OSError
