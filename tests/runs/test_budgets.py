"""Daily budgets of upstreams: never exceeded, exact across restarts and failures; what happens when they are used up.

A run of the fakes costs 0.006 dollars: 1000 input tokens and 100 output tokens, at $4 and $20 a million. What it may
cost is a little more: the bound of its prompt is rough.
"""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from routing_fakes import MODEL, FakeBackend, Routed, execute, request, user

from dragoman.core.errors import QuotaExceeded, StoreFailed, UpstreamFailed
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS
from dragoman.core.pricing import max_nanodollars
from dragoman.runs.bounds import bound_of
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run
from dragoman.stores.ledger import LedgerFilter
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.testing.memory_limits import MemoryLimits

ONE = Decimal("0.006")
SMALL = request(max_tokens=100)
MAY_COST = Decimal(bound_of(SMALL.body, SMALL.model).nanodollars).scaleb(-9)


class Gateway:
    """An engine with a meter before upstreams."""

    def __init__(self, routed: Routed, engine: Engine) -> None:
        self.routed = routed
        self.engine = engine

    @classmethod
    async def of(cls, routed: Routed) -> "Gateway":
        """Start it."""
        return cls(routed, Engine(await routed.router(), Limits(), meter=routed.meter))

    async def run(self, text: str = "Hello", **fields: object) -> Run:
        """Execute a run until it is settled. A failure is raised."""
        [run] = await self.start(1, text, **fields)
        await run.wait_until_settled()
        await run.wait()
        return run

    async def start(self, count: int, text: str = "Hello", **fields: object) -> list[Run]:
        """Start runs."""
        sent = request(user(text), model=MODEL, **({"max_tokens": 100} | fields))
        bodies = [sent.body] * count
        admitted = await self.engine.reserve(bodies, sent.model, client="me", request_options=DEFAULT_REQUEST_OPTIONS)
        return self.engine.submit_all(admitted.bodies, sent.model, client="me", holds=admitted.holds)

    def budget(self, name: str = "one") -> Decimal:
        """Return what an upstream has spent."""
        budget = self.routed.upstreams[name].budget
        assert budget is not None
        return budget.spent


def more_than(runs: int) -> str:
    """Return a budget that pays for some runs, and admits no further one."""
    return str(runs * ONE + MAY_COST - Decimal("0.000001"))


async def test_the_cost_of_each_run_is_stored_and_survives_a_restart(tmp_path: Path) -> None:
    """The sum is exact."""
    for before in range(3):
        ledger = SQLiteLedger(tmp_path / "ledger.db")
        gateway = await Gateway.of(Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily="1.00"))
        assert gateway.budget() == before * ONE
        await gateway.run()
        assert gateway.budget() == (before + 1) * ONE
        await gateway.routed.meter.aclose()
        assert await ledger.spent(LedgerFilter(upstream="one")) == (before + 1) * 6_000_000
        await ledger.aclose()


async def test_if_a_budget_does_not_suffice_the_next_upstream_is_used() -> None:
    """It is no failure of the first one."""
    gateway = await Gateway.of(Routed({"one": FakeBackend(), "two": FakeBackend()}).add("one", daily=more_than(2)))
    assert [(await gateway.run()).upstream for _ in range(4)] == ["one", "one", "two", "two"]
    assert gateway.routed.upstreams["one"].status()["failures"] == 0


@pytest.mark.parametrize("fallback", [True, False])
async def test_runs_at_the_same_time_spend_no_more_than_is_left(*, fallback: bool) -> None:
    """What each may cost is reserved before it is sent. The others fall back, or fail."""
    fakes = {"one": FakeBackend(), "two": FakeBackend()}
    gateway = await Gateway.of(Routed(fakes, fallback=fallback).add("one", daily=str(2 * MAY_COST)))
    runs = await gateway.start(5)
    results = await asyncio.gather(*(run.wait() for run in runs), return_exceptions=True)
    assert gateway.routed.request_counts() == ([2, 3] if fallback else [2, 0])
    assert sum(isinstance(result, Exception) for result in results) == (0 if fallback else 3)
    assert gateway.budget() == 2 * ONE


async def test_a_used_up_budget_names_itself_and_when_it_resets() -> None:
    """A retry makes no sense before that."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}, fallback=False).add("one", daily=more_than(0)))
    with pytest.raises(QuotaExceeded, match=r"the upstream `one` .*a day.*2026-09-22 00:00 UTC") as caught:
        await gateway.run()
    assert caught.value.code == "insufficient_quota"
    assert caught.value.retry_after == datetime(2026, 9, 22, tzinfo=UTC).timestamp() - gateway.routed.clock.now


async def test_if_all_is_spent_the_upstream_is_not_ready() -> None:
    """No request is needed to see that."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}).add("one", daily="0"))
    assert gateway.routed.upstreams["one"].status()["state"] == "budget_used"
    with pytest.raises(QuotaExceeded, match=r"`one` \(\$0\).*2026-09-22 00:00 UTC"):
        await gateway.run()


async def test_a_response_without_a_limit_gets_one_that_the_budget_can_pay() -> None:
    """With a warning. A limit of the client's own is never changed."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}).add("one", daily="0.5"))
    run = await gateway.run(max_tokens=None)
    [sent] = gateway.routed.fakes["one"].requests
    limit = sent.body["max_tokens"]
    assert [(warning.code, warning.param) for warning in run.warnings] == [("clamped", "max_tokens")]
    bound = bound_of(sent.body, sent.model)
    assert max_nanodollars(sent.model.id, bound.input, limit) <= 500_000_000
    assert max_nanodollars(sent.model.id, bound.input, limit + 10) > 500_000_000


async def test_what_a_run_has_left_over_pays_for_the_next_one_at_once() -> None:
    """A limit that was lowered once is lowered again, although the rest is not returned to the shared table yet."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}).add("one", daily="0.5"))
    runs = [await gateway.run(max_tokens=None) for _ in range(3)]
    assert [(run.upstream, run.warnings[0].code) for run in runs] == [("one", "clamped")] * 3
    assert gateway.budget() == 3 * ONE


async def test_a_budget_resets_at_midnight() -> None:
    """Days are those of the time zone, by default UTC."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}).add("one", daily=more_than(1)))
    await gateway.run()
    gateway.routed.clock.now = datetime(2026, 9, 22, tzinfo=UTC).timestamp() - 1
    with pytest.raises(QuotaExceeded):
        await gateway.run()
    gateway.routed.clock.now += 1
    assert (await gateway.run()).upstream == "one"


async def test_a_response_that_breaks_off_is_charged_for_what_is_known() -> None:
    """The model has read its prompt, and has written a token."""
    gateway = await Gateway.of(Routed({"one": FakeBackend(breaks=UpstreamFailed("broke off"))}).add("one", daily="1"))
    with pytest.raises(UpstreamFailed):
        await gateway.run()
    assert gateway.budget() == Decimal("0.00402")


async def test_a_failure_before_the_first_output_costs_nothing() -> None:
    """All that was reserved is free again."""
    ledger = MemoryLimits()
    fakes = {"one": FakeBackend(failure=UpstreamFailed("refused")), "two": FakeBackend()}
    gateway = await Gateway.of(Routed(fakes, ledger=ledger).add("one", daily="1").add("two", daily="1"))
    assert (await gateway.run()).upstream == "two"
    await gateway.routed.meter.aclose()
    assert {row.upstream: row.nanodollars for row in ledger.rows.values()} == {"two": 6_000_000}
    assert +ledger.loans == {}


async def test_several_processes_share_a_budget() -> None:
    """None of them sends more than is left after the others."""
    ledger = MemoryLimits()
    routed = [Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily=more_than(3)) for _ in range(2)]
    first, second = [await Gateway.of(one) for one in routed]
    for gateway in (first, first, second):
        await gateway.run()
        await gateway.routed.meter.flush(everything=True)
    for gateway in (first, second):
        with pytest.raises(QuotaExceeded):
            await gateway.run()


async def test_without_the_ledger_nothing_is_sent_that_is_not_borrowed() -> None:
    """The budget is closed: it is not known what the others spend."""
    ledger = MemoryLimits()
    gateway = await Gateway.of(Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily="1"))
    ledger.away = True
    with pytest.raises(StoreFailed):
        await gateway.run()
    ledger.away = False
    await gateway.run()
    ledger.away = True
    await gateway.run()  # what the first run has not used is still borrowed
    ledger.away = False
    await gateway.routed.meter.aclose()
    assert await ledger.spent(LedgerFilter()) == 12_000_000


async def test_the_status_shows_what_is_left() -> None:
    """In dollars, and when the budget resets."""
    gateway = await Gateway.of(Routed({"one": FakeBackend()}).add("one", daily="0.5"))
    await gateway.run()
    assert gateway.routed.upstreams["one"].status()["budget"] == {
        "daily_dollars": "0.5",
        "spent_dollars": "0.0060",
        "left_dollars": "0.4940",
        "resets": "2026-09-22T00:00:00+00:00",
    }


async def test_a_router_without_a_meter_has_no_budget() -> None:
    """Runs of an engine without a meter reserve nothing."""
    router = await Routed({"one": FakeBackend()}).add("one", daily="0.001").router()
    assert (await execute(router)).upstream == "one"
