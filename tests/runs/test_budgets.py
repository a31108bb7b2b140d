"""Daily budgets: exact, across restarts and failures, and what happens when they are used up."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from routing_fakes import Clock, Fake, Memory, Routed, ask, assistant, request, user

from dragoman.core.errors import QuotaExceeded, UpstreamFailed
from dragoman.routing.budget import Budget
from dragoman.routing.upstream import BudgetedBackend
from dragoman.stores.sqlite.spending import SQLiteSpendingLedger

ONE = Decimal("0.006")
"""1000 tokens read and 100 written by the fake, at $4 and $20 a million."""


async def test_what_a_run_costs_is_written_down_to_the_last_one_and_survives_a_restart(tmp_path: Path) -> None:
    """The sum is exact, whoever counts on."""
    for before in range(3):
        ledger = SQLiteSpendingLedger(tmp_path / "budgets.db")
        routed = Routed({"one": Fake()}, ledger=ledger).add("one", daily="1.00")
        router = await routed.router()
        budget = routed.upstreams["one"].budget
        assert budget is not None
        assert budget.spent == before * ONE
        await ask(router)
        assert budget.spent == (before + 1) * ONE
        # No closing in between: what a process that is killed here would leave is what the next one reads.
        other = SQLiteSpendingLedger(tmp_path / "budgets.db")
        assert await other.spent("one", "2026-09-21") == int((before + 1) * ONE * 10**12)
        await other.aclose()
        await router.aclose()
        await ledger.aclose()


async def test_a_used_up_budget_sends_runs_to_the_next() -> None:
    """The run that went past it was not cut off."""
    routed = Routed({"one": Fake(), "two": Fake()}).add("one", daily="0.007")
    router = await routed.router()
    assert [(await ask(router)).upstream for _ in range(3)] == ["one", "one", "two"]
    assert routed.upstreams["one"].status()["state"] == "budget_used"


@pytest.mark.parametrize("fallback", [True, False])
async def test_those_that_waited_for_a_place_spend_no_more_than_is_left(*, fallback: bool) -> None:
    """What is used up while they wait sends them on, or ends them; the account did nothing wrong."""
    routed = Routed({"one": Fake(), "two": Fake()}, fallback=fallback).add("one", daily="0.007", places=1)
    router = await routed.router()
    grown = request(user("Hi"), assistant(), user("And now?"))  # such ones wait for their own account
    asked = await asyncio.gather(*(ask(router, grown) for _ in range(5)), return_exceptions=True)
    assert routed.asked() == ([2, 3] if fallback else [2, 0])
    assert [isinstance(one, QuotaExceeded) for one in asked] == [False, False, *[not fallback] * 3]
    assert routed.upstreams["one"].status()["failures"] == 0


async def test_where_all_are_used_up_the_error_names_them_and_when_they_start_anew() -> None:
    """429 by its code, and no try makes sense before."""
    routed = Routed({"one": Fake(), "two": Fake()}).add("one", daily="0.001").add("two", daily="0.002")
    router = await routed.router()
    for words in "ab":
        await ask(router, request(user(words)))
    with pytest.raises(QuotaExceeded, match=r"`one` \(\$0\.001\).*`two` \(\$0\.002\).*2026-09-22 00:00 UTC") as caught:
        await ask(router)
    assert caught.value.code == "insufficient_quota"
    assert caught.value.retry_after == datetime(2026, 9, 22, tzinfo=UTC).timestamp() - routed.clock.now
    assert "daily budget" in (router.ready() or "")


async def test_without_leave_to_go_on_a_used_up_budget_is_the_end() -> None:
    """The other account is not asked."""
    routed = Routed({"one": Fake(), "two": Fake()}, fallback=False).add("one", daily="0.001")
    router = await routed.router()
    await ask(router)
    with pytest.raises(QuotaExceeded, match="`one`"):
        await ask(router)
    assert routed.asked() == [1, 0]


async def test_a_new_day_is_a_new_budget() -> None:
    """Days are those of UTC."""
    routed = Routed({"one": Fake()}).add("one", daily="0.001")
    router = await routed.router()
    await ask(router)
    routed.clock.now = datetime(2026, 9, 22, tzinfo=UTC).timestamp() - 1
    with pytest.raises(QuotaExceeded):
        await ask(router)
    routed.clock.now += 1
    assert (await ask(router)).upstream == "one"


async def test_an_answer_that_breaks_off_costs_what_is_known_of_it() -> None:
    """Its prompt was read."""
    routed = Routed({"one": Fake(breaks=UpstreamFailed("broke off"))}).add("one", daily="1")
    router = await routed.router()
    with pytest.raises(UpstreamFailed):
        await ask(router)
    budget = routed.upstreams["one"].budget
    assert budget is not None
    assert budget.spent == Decimal("0.00402")


async def test_a_client_that_leaves_pays_for_what_was_read() -> None:
    """The cost is written down also where the run is closed in the middle."""
    ledger, clock = Memory(), Clock()
    budget = Budget("one", Decimal(1), ledger, clock)
    async with aclosing(BudgetedBackend(Fake(), budget).run(request())) as events:
        for _ in range(3):
            await anext(events)
    await budget.aclose()
    assert ledger.sums == {("one", "2026-09-21"): int(Decimal("0.00402") * 10**12)}


async def test_what_fails_before_its_first_word_costs_nothing() -> None:
    """Nothing is written."""
    ledger = Memory()
    routed = Routed({"one": Fake(failure=UpstreamFailed("refused"))}, ledger=ledger).add("one", daily="1")
    with pytest.raises(UpstreamFailed):
        await ask(await routed.router())
    assert ledger.sums == {}


async def test_several_processes_share_a_budget() -> None:
    """Each learns what the others spent when it writes."""
    ledger = Memory()
    both = [Routed({"one": Fake()}, ledger=ledger).add("one", daily="0.013") for _ in range(2)]
    first, second = [await routed.router() for routed in both]
    await ask(first)
    await ask(first)
    await ask(second)
    with pytest.raises(QuotaExceeded):
        await ask(second)


async def test_a_ledger_that_breaks_does_not_end_runs_and_the_budget_still_holds() -> None:
    """What this process spent is known to it."""
    ledger = Memory()
    ledger.broken = True
    routed = Routed({"one": Fake()}, ledger=ledger).add("one", daily="0.007")
    router = await routed.router()
    await ask(router)
    await ask(router, request(user("other")))
    with pytest.raises(QuotaExceeded):
        await ask(router)


async def test_the_operator_sees_what_is_left() -> None:
    """In dollars, and until when."""
    routed = Routed({"one": Fake()}).add("one", daily="0.5")
    router = await routed.router()
    await ask(router)
    assert routed.upstreams["one"].status()["budget"] == {
        "daily_dollars": "0.5",
        "spent_dollars": "0.0060",
        "left_dollars": "0.4940",
        "resets": "2026-09-22T00:00:00+00:00",
    }
