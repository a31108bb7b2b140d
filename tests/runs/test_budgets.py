"""Daily budgets: they are exact, across restarts and failures; and what happens when they are used up."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from routing_fakes import Clock, FakeBackend, MemoryLedger, Routed, assistant, execute, request, user

from dragoman.core.errors import QuotaExceeded, UpstreamFailed
from dragoman.routing.budget import Budget, BudgetedBackend
from dragoman.runs.engine import Engine, Limits
from dragoman.stores.sqlite.spending import SQLiteSpendingLedger

ONE = Decimal("0.006")
"""1000 input tokens and 100 output tokens, at $4 and $20 a million."""


async def test_the_cost_of_each_run_is_stored_and_survives_a_restart(tmp_path: Path) -> None:
    """The sum is exact."""
    for before in range(3):
        ledger = SQLiteSpendingLedger(tmp_path / "budgets.db")
        routed = Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily="1.00")
        router = await routed.router()
        budget = routed.upstreams["one"].budget
        assert budget is not None
        assert budget.spent == before * ONE
        await execute(router)
        assert budget.spent == (before + 1) * ONE
        # Not closed yet: this is what the next process finds if this one is killed here.
        other = SQLiteSpendingLedger(tmp_path / "budgets.db")
        assert await other.spent("one", "2026-09-21") == int((before + 1) * ONE * 10**12)
        await other.aclose()
        await router.aclose()
        await ledger.aclose()


async def test_if_a_budget_is_used_up_the_next_upstream_is_used() -> None:
    """A run that exceeds the budget is not stopped."""
    routed = Routed({"one": FakeBackend(), "two": FakeBackend()}).add("one", daily="0.007")
    router = await routed.router()
    assert [(await execute(router)).upstream for _ in range(3)] == ["one", "one", "two"]
    assert routed.upstreams["one"].status()["state"] == "budget_used"


@pytest.mark.parametrize("fallback", [True, False])
async def test_runs_that_waited_for_a_slot_spend_no_more_than_is_left(*, fallback: bool) -> None:
    """If the budget is used up while they wait they fall back, or fail. It is no failure of the upstream."""
    fakes = {"one": FakeBackend(), "two": FakeBackend()}
    routed = Routed(fakes, fallback=fallback).add("one", daily="0.007", slots=1)
    engine = Engine(await routed.router(), Limits())
    old = request(user("Hi"), assistant(), user("And now?"))  # old conversations wait for their own upstream
    runs = [engine.submit(old.body, old.model, client="me") for _ in range(5)]
    results = await asyncio.gather(*(run.wait() for run in runs), return_exceptions=True)
    assert routed.request_counts() == ([2, 3] if fallback else [2, 0])
    assert [isinstance(result, QuotaExceeded) for result in results] == [False, False, *[not fallback] * 3]
    assert routed.upstreams["one"].status()["failures"] == 0
    await engine.aclose(30)


async def test_if_all_budgets_are_used_up_the_error_names_them_and_when_they_reset() -> None:
    """A retry makes no sense before that."""
    routed = Routed({"one": FakeBackend(), "two": FakeBackend()}).add("one", daily="0.001").add("two", daily="0.002")
    router = await routed.router()
    for text in "ab":
        await execute(router, request(user(text)))
    with pytest.raises(QuotaExceeded, match=r"`one` \(\$0\.001\).*`two` \(\$0\.002\).*2026-09-22 00:00 UTC") as caught:
        await execute(router)
    assert caught.value.code == "insufficient_quota"
    assert caught.value.retry_after == datetime(2026, 9, 22, tzinfo=UTC).timestamp() - routed.clock.now
    assert "daily budget" in (router.ready() or "")


async def test_without_fallback_a_used_up_budget_is_an_error() -> None:
    """The other upstream is not used."""
    routed = Routed({"one": FakeBackend(), "two": FakeBackend()}, fallback=False).add("one", daily="0.001")
    router = await routed.router()
    await execute(router)
    with pytest.raises(QuotaExceeded, match="`one`"):
        await execute(router)
    assert routed.request_counts() == [1, 0]


async def test_a_budget_resets_at_midnight() -> None:
    """Days are those of UTC."""
    routed = Routed({"one": FakeBackend()}).add("one", daily="0.001")
    router = await routed.router()
    await execute(router)
    routed.clock.now = datetime(2026, 9, 22, tzinfo=UTC).timestamp() - 1
    with pytest.raises(QuotaExceeded):
        await execute(router)
    routed.clock.now += 1
    assert (await execute(router)).upstream == "one"


async def test_a_response_that_breaks_off_is_charged_for_what_is_known() -> None:
    """The model has read its prompt."""
    routed = Routed({"one": FakeBackend(breaks=UpstreamFailed("broke off"))}).add("one", daily="1")
    router = await routed.router()
    with pytest.raises(UpstreamFailed):
        await execute(router)
    budget = routed.upstreams["one"].budget
    assert budget is not None
    assert budget.spent == Decimal("0.00402")


async def test_a_cancelled_response_is_charged_for_what_is_known() -> None:
    """The cost is stored also if the run is closed in the middle."""
    ledger, clock = MemoryLedger(), Clock()
    budget = Budget("one", Decimal(1), ledger, clock)
    async with aclosing(BudgetedBackend(FakeBackend(), budget).run(request())) as events:
        for _ in range(3):
            await anext(events)
    await budget.aclose()
    assert ledger.sums == {("one", "2026-09-21"): int(Decimal("0.00402") * 10**12)}


async def test_a_failure_before_the_first_output_costs_nothing() -> None:
    """Nothing is stored."""
    ledger = MemoryLedger()
    routed = Routed({"one": FakeBackend(failure=UpstreamFailed("refused"))}, ledger=ledger).add("one", daily="1")
    with pytest.raises(UpstreamFailed):
        await execute(await routed.router())
    assert ledger.sums == {}


async def test_several_processes_share_a_budget() -> None:
    """Each learns what the others have spent when it writes."""
    ledger = MemoryLedger()
    both = [Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily="0.013") for _ in range(2)]
    first, second = [await routed.router() for routed in both]
    await execute(first)
    await execute(first)
    await execute(second)
    with pytest.raises(QuotaExceeded):
        await execute(second)


async def test_a_ledger_that_fails_ends_no_run_and_the_budget_still_holds() -> None:
    """Each process knows what it has spent itself."""
    ledger = MemoryLedger()
    ledger.broken = True
    routed = Routed({"one": FakeBackend()}, ledger=ledger).add("one", daily="0.007")
    router = await routed.router()
    await execute(router)
    await execute(router, request(user("other")))
    with pytest.raises(QuotaExceeded):
        await execute(router)


async def test_the_status_shows_what_is_left() -> None:
    """In dollars, and when the budget resets."""
    routed = Routed({"one": FakeBackend()}).add("one", daily="0.5")
    router = await routed.router()
    await execute(router)
    assert routed.upstreams["one"].status()["budget"] == {
        "daily_dollars": "0.5",
        "spent_dollars": "0.0060",
        "left_dollars": "0.4940",
        "resets": "2026-09-22T00:00:00+00:00",
    }
