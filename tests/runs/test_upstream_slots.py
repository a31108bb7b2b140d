"""Runs that wait for a slot of an upstream: they hold no slot of the gateway, and are queued."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_fakes import FakeBackend, Routed, assistant, request, user

from dragoman.backends.base import RunRequest
from dragoman.core.catalog import Catalog
from dragoman.core.errors import Overloaded, QueueFull, TimedOut
from dragoman.core.events import Event
from dragoman.core.messages import Message, MessagesRequest
from dragoman.routing.upstream import Upstream
from dragoman.runs.admission import Admission, Limit
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run

MODEL = Catalog().resolve("claude-opus-5-5").model
SMALL = Catalog().resolve("claude-haiku-5-5").model


@dataclass
class GatedBackend(FakeBackend):
    """A backend whose responses wait for a gate."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    active: int = 0
    most_active: int = 0

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Wait for the gate, then answer."""
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await self.gate.wait()
            async for event in super().run(request):
                yield event
        finally:
            self.active -= 1


@dataclass
class Setup:
    """An engine with two upstreams: `busy` has one slot and serves Opus, `free` serves Haiku."""

    engine: Engine
    busy: GatedBackend
    free: GatedBackend
    upstreams: dict[str, Upstream]

    def submit_busy(self, text: str = "a") -> Run:
        """Submit a run for the upstream `busy`."""
        return self.engine.submit(body(user(text)), MODEL, client="me")

    def submit_free(self) -> Run:
        """Submit a run for the upstream `free`."""
        return self.engine.submit(body(user("b")), SMALL, client="me")


async def setup(*, slots: int = 2, queue: int = 10, run_timeout: float = 600, fallback: bool = True) -> Setup:
    """Return the engine and its upstreams."""
    busy, free = GatedBackend(), GatedBackend()
    routed = Routed({"busy": busy, "free": free}, fallback=fallback)
    routed.add("busy", models=["claude-opus-*"], slots=1).add("free", models=["claude-haiku-*"])
    limits = Limits(max_concurrency=slots, max_queue_size=queue, run_timeout=run_timeout)
    return Setup(Engine(await routed.router(), limits), busy, free, routed.upstreams)


def body(*messages: Message) -> MessagesRequest:
    """Return a request's body."""
    return request(*messages).body


async def until_idle() -> None:
    """Let every task proceed until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_run_that_waits_for_an_upstream_holds_no_slot_of_the_gateway() -> None:
    """A busy upstream does not stop runs for other upstreams. The waiting runs are queued, in every count."""
    s = await setup(slots=2)
    waiting = [s.submit_busy() for _ in range(4)]
    await until_idle()
    assert [run.status for run in waiting] == ["running", "queued", "queued", "queued"]
    assert (s.engine.running, s.engine.queued) == (1, 3)
    assert s.upstreams["busy"].status()["runs"] == {"running": 1, "waiting": 3}
    other = s.submit_free()
    s.free.gate.set()
    await other.wait()
    assert [run.status for run in waiting] == ["running", "queued", "queued", "queued"]
    s.busy.gate.set()
    for run in waiting:
        await run.wait()
    assert s.busy.most_active == 1
    assert all(run.status == "succeeded" for run in waiting)
    await s.engine.aclose(30)
    assert (s.engine.running, s.engine.queued) == (0, 0)
    assert s.upstreams["busy"].status()["runs"] == {"running": 0, "waiting": 0}


async def test_the_time_limit_does_not_tick_while_a_run_waits_for_an_upstream() -> None:
    """It ticks again when the run has its slots."""
    admission, limit = Admission(slots=2, queue_size=10), Limit(1)
    blocker = admission.enter()
    assert blocker.acquire(limit)
    run = Run("me", MODEL.id, timeout=0.02)
    ticket = admission.enter()

    async def drive() -> None:
        run.mark_running()
        await run.acquire_slot(limit)
        run.mark_running()

    run.attach(asyncio.create_task(drive()), ticket)
    assert await run.next(0.1) == []
    assert (run.status, admission.running, admission.queued) == ("queued", 1, 1)
    blocker.leave()
    with pytest.raises(TimedOut, match=r"longer than 0\.02 seconds"):
        await run.next(30)
    assert run.stages["queue"] > 0.02
    ticket.leave()
    assert (admission.running, admission.queued, limit.taken, limit.waiting) == (0, 0, 0, 0)


async def test_runs_get_the_slots_of_an_upstream_in_the_order_of_their_arrival() -> None:
    """Also if younger runs have slots of the gateway."""
    s = await setup(slots=2)
    runs = [s.submit_busy(str(number)) for number in range(5)]
    s.busy.gate.set()
    for run in runs:
        await run.wait()
    texts = [request_.body["messages"][0]["content"][0]["text"] for request_ in s.busy.requests]
    assert texts == ["0", "1", "2", "3", "4"]
    await s.engine.aclose(30)


async def test_an_older_run_gets_the_upstream_before_a_younger_one_that_is_running() -> None:
    """A run that falls back to an upstream does not overtake those that wait for it."""
    admission, limit = Admission(slots=2, queue_size=10), Limit(1)
    blocker, older, younger = admission.enter(), admission.enter(), admission.enter()
    assert blocker.acquire(limit)
    assert not older.acquire(limit)
    await younger.wait()
    third = admission.enter()
    blocker.leave()
    assert (older.granted, third.granted) == (True, False)
    assert not younger.acquire(limit)
    assert third.granted
    older.leave()
    assert younger.granted
    for ticket in (third, younger):
        ticket.leave()
    assert (admission.running, admission.queued, limit.taken, limit.waiting) == (0, 0, 0, 0)


async def test_a_run_cancelled_while_it_waits_for_an_upstream_leaves_nothing_behind() -> None:
    """Neither in the queue nor at the upstream."""
    s = await setup()
    first, second, third = (s.submit_busy() for _ in range(3))
    await until_idle()
    await second.cancel("client gone")
    assert (second.status, s.engine.queued) == ("cancelled", 1)
    assert s.upstreams["busy"].status()["runs"] == {"running": 1, "waiting": 1}
    await first.cancel("client gone")
    await until_idle()
    assert (third.status, s.busy.active) == ("running", 1)
    await third.cancel("client gone")
    assert (s.engine.running, s.engine.queued) == (0, 0)
    assert s.upstreams["busy"].status()["runs"] == {"running": 0, "waiting": 0}


async def test_the_queue_is_bounded_also_by_runs_that_wait_for_an_upstream() -> None:
    """In all, no more runs are admitted than there are slots and positions in the queue."""
    s = await setup(slots=2, queue=1)
    runs = [s.submit_busy() for _ in range(3)]
    await until_idle()
    with pytest.raises(QueueFull, match="1 of 2 slots are taken and 2 requests are queued"):
        s.submit_free()
    for run in runs:
        await run.cancel("over")


async def test_a_run_that_falls_back_to_a_full_upstream_is_queued_again() -> None:
    """Its slot of the gateway is free meanwhile."""
    failing, full = FakeBackend(failure=Overloaded("busy")), GatedBackend()
    routed = Routed({"failing": failing, "full": full}).add("failing").add("full", slots=1)
    engine = Engine(await routed.router(), Limits(max_concurrency=2))
    first = engine.submit(body(user("a")), MODEL, client="me")
    await until_idle()
    second = engine.submit(body(user("b"), assistant(), user("c")), MODEL, client="me")
    await until_idle()
    assert [(run.upstream, run.status) for run in (first, second)] == [("full", "running"), ("full", "queued")]
    assert (engine.running, engine.queued) == (1, 1)
    full.gate.set()
    await second.wait()
    assert second.status == "succeeded"
    await engine.aclose(30)


async def test_new_conversations_use_a_free_upstream_and_old_ones_wait() -> None:
    """The cached prompt of an old conversation is worth the wait."""
    one, two = GatedBackend(), FakeBackend()
    routed = Routed({"one": one, "two": two}).add("one", slots=1)
    engine = Engine(await routed.router(), Limits())
    first = engine.submit(body(user("first")), MODEL, client="me")
    await until_idle()
    new = engine.submit(body(user("new")), MODEL, client="me")
    await new.wait()
    assert new.upstream == "two"
    old = engine.submit(body(user("old"), assistant(), user("more")), MODEL, client="me")
    await until_idle()
    assert (old.upstream, old.status) == ("one", "queued")
    one.gate.set()
    await old.wait()
    await first.wait()
    assert old.upstream == "one"
    await engine.aclose(30)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["enter", "leave", "acquire"])), max_size=60),
    st.integers(1, 4),
)
def test_slots_are_never_exceeded_nor_lost(steps: list[tuple[int, str]], slots: int) -> None:
    """Whatever runs do, and in whatever order. No free slot is left to a run that waits for it."""
    asyncio.run(_play(steps, slots))


async def _play(steps: list[tuple[int, str]], slots: int) -> None:
    admission = Admission(slots, queue_size=5)
    limits = [Limit(1), Limit(2), Limit(100)]
    tickets = []
    for number, step in steps:
        if step == "enter" and admission.running + admission.queued < slots + 5:
            tickets.append(admission.enter())
        elif step == "leave" and tickets:
            tickets.pop(number % len(tickets)).leave()
        elif step == "acquire":
            ready = [ticket for ticket in tickets if ticket.granted and ticket.upstream is None]
            if ready:
                ready[-1].acquire(limits[number])
        granted = [ticket for ticket in tickets if ticket.granted]
        assert admission.running == len(granted) <= slots
        assert admission.queued == len(tickets) - len(granted)
        for limit in limits:
            assert limit.taken == sum(ticket.upstream is limit for ticket in granted) <= limit.slots
            waiting = [ticket for ticket in tickets if ticket not in granted and ticket.upstream is limit]
            assert limit.waiting == len(waiting)
            assert not waiting or limit.full or admission.running == slots
    for ticket in tickets:
        ticket.leave()
    assert (admission.running, admission.queued) == (0, 0)
    assert all((limit.taken, limit.waiting) == (0, 0) for limit in limits)
