"""The test suites of every `Ledger`, and of every `SharedLimits`."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.limits.pools import Repayment
from dragoman.limits.rules import ALWAYS, Period, Rule, Scope, ScopeKind, Unit, window_at
from dragoman.limits.table import Ask, Refusal
from dragoman.stores.ledger import Ledger, LedgerFilter, LedgerRow, Loan, SharedLimits, Tokens

_BEGAN = 1_790_000_000.0
"""2026-09-21, 13:33 UTC."""
_DAY = 86_400.0


def row(
    run: str, nanodollars: int = 1, *, key: str = "ann", team: str = "web", model: str = "m", days: int = 0
) -> LedgerRow:
    """Return the row of a run that began some days after the first."""
    return LedgerRow(
        run=run,
        began=_BEGAN + days * _DAY,
        key=key,
        team=team,
        model=model,
        tokens=Tokens(input=1, cache_read=2, cache_write=3, output=4),
        nanodollars=nanodollars,
    )


class LedgerSuite:
    """Tests of a `Ledger`. A subclass defines how a ledger is opened."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[Ledger]:
        """Open a ledger.

        Args:
            where: An empty directory of the test. Ledgers opened for the same directory share their rows.
        """
        raise NotImplementedError

    async def test_a_run_is_counted_once(self, tmp_path: Path) -> None:
        """However often it is added, also with another cost."""
        async with self.opened(tmp_path) as ledger:
            assert await ledger.add([row("run_a", 5), row("run_b", 6)]) == {"run_a", "run_b"}
            assert await ledger.add([row("run_a", 50), row("run_c", 7)]) == {"run_c"}
            assert await ledger.add([]) == frozenset()
            assert await ledger.spent(LedgerFilter()) == 18

    async def test_filters(self, tmp_path: Path) -> None:
        """Each alone, and together. The end of a period belongs to the next one."""
        rows = [
            row("run_a", 1),
            row("run_b", 10, key="bob"),
            row("run_c", 100, team="ops", model="n"),
            row("run_d", 1000, days=1),
        ]
        async with self.opened(tmp_path) as ledger:
            await ledger.add([*rows, LedgerRow(run="run_e", began=_BEGAN, upstream="u", nanodollars=10_000)])
            assert await ledger.spent(LedgerFilter(key="ann")) == 1101
            assert await ledger.spent(LedgerFilter(team="ops")) == 100
            assert await ledger.spent(LedgerFilter(model="m")) == 1011
            assert await ledger.spent(LedgerFilter(upstream="u")) == 10_000
            assert await ledger.spent(LedgerFilter(since=_BEGAN + _DAY)) == 1000
            assert await ledger.spent(LedgerFilter(until=_BEGAN + _DAY, key="ann", team="web")) == 1
            assert await ledger.spent(LedgerFilter(key="eve")) == 0

    async def test_sums(self, tmp_path: Path) -> None:
        """By one column or several, the most expensive first."""
        rows = [row("run_a", 1), row("run_b", 10, key="bob"), row("run_c", 100, days=1), row("run_d", 1000, key="bob")]
        async with self.opened(tmp_path) as ledger:
            await ledger.add(rows)
            [total] = await ledger.sums(LedgerFilter(), ())
            assert (total.by, total.runs, total.nanodollars) == ({}, 4, 1111)
            assert total.tokens == Tokens(input=4, cache_read=8, cache_write=12, output=16)
            assert total.tokens.total == 40
            by_key = await ledger.sums(LedgerFilter(), ("key",))
            assert [(one.by, one.runs, one.nanodollars) for one in by_key] == [
                ({"key": "bob"}, 2, 1010),
                ({"key": "ann"}, 2, 101),
            ]
            by_both = await ledger.sums(LedgerFilter(key="ann"), ("key", "day"))
            assert [one.by for one in by_both] == [
                {"key": "ann", "day": "2026-09-22"},
                {"key": "ann", "day": "2026-09-21"},
            ]

    async def test_an_empty_ledger_has_no_cost(self, tmp_path: Path) -> None:
        """The sum of no rows is 0, and there are no groups."""
        async with self.opened(tmp_path) as ledger:
            [total] = await ledger.sums(LedgerFilter(), ())
            assert (total.runs, total.nanodollars, total.tokens) == (0, 0, Tokens())
            assert await ledger.sums(LedgerFilter(), ("key",)) == []

    async def test_sums_are_exact(self, tmp_path: Path) -> None:
        """Also those that a float cannot hold."""
        async with self.opened(tmp_path) as ledger:
            await ledger.add([row("run_a", 2**53), row("run_b", 1)])
            assert await ledger.spent(LedgerFilter()) == 2**53 + 1

    async def test_many_rows_from_two_ledgers(self, tmp_path: Path) -> None:
        """Each run is counted by exactly one of them, and both see all rows when they are opened again."""
        rows = [row(f"run_{number}") for number in range(250)]
        async with self.opened(tmp_path) as ledger, self.opened(tmp_path) as other:
            added = await asyncio.gather(ledger.add(rows), other.add(rows))
            assert sum(map(len, added)) == 250
            assert await other.spent(LedgerFilter()) == 250
        async with self.opened(tmp_path) as ledger:
            assert await ledger.spent(LedgerFilter()) == 250


_LEASE = 60_000
_WINDOW = window_at(Period.DAY, _BEGAN)
_BUDGET = Rule(Scope(ScopeKind.TEAM, "web"), Unit.DOLLARS, 1_000, Period.DAY)
_RUNS = Rule(Scope(ScopeKind.KEY, "ann"), Unit.RUNS, 2)
_REQUESTS = Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 60)


def _ask(rule: Rule, needed: int, desired: int | None = None) -> Ask:
    window = _WINDOW if rule.period else ALWAYS
    return Ask(rule, window, needed, needed if desired is None else desired)


class SharedLimitsSuite(LedgerSuite):
    """Tests of a `SharedLimits`. A subclass defines how one is opened; those of a directory share everything."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[SharedLimits]:
        """Open one; see `LedgerSuite.opened`."""
        raise NotImplementedError

    async def test_two_workers_never_get_more_than_the_amount(self, tmp_path: Path) -> None:
        """Of a budget, of runs at once and of requests a minute; however they take turns."""
        for rule in (_BUDGET, _RUNS, _REQUESTS):
            async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
                got = 0
                while True:
                    loans = await asyncio.gather(
                        one.borrow("one", [_ask(rule, 1, 3)], 0, _LEASE), two.borrow("two", [_ask(rule, 1)], 0, _LEASE)
                    )
                    got += sum(loan.granted[0] for loan in loans if isinstance(loan, Loan))
                    if all(isinstance(loan, Refusal) for loan in loans):
                        break
                assert got == rule.amount

    async def test_all_rules_lend_or_none(self, tmp_path: Path) -> None:
        """A refusal by the last rule leaves the others as they were."""
        async with self.opened(tmp_path) as shared:
            refusal = await shared.borrow("one", [_ask(_BUDGET, 10), _ask(_REQUESTS, 5), _ask(_RUNS, 3)], 0, _LEASE)
            assert isinstance(refusal, Refusal)
            assert (refusal.state.rule.name, refusal.needed, refusal.state.remaining) == (_RUNS.name, 3, 2)
            assert not await shared.states([], 0)
            states = await shared.states([(_BUDGET, _WINDOW), (_REQUESTS, ALWAYS), (_RUNS, ALWAYS)], 0)
            assert [state.remaining for state in states] == [1_000, 60, 2]

    async def test_a_cost_is_charged_once_and_its_loan_ends(self, tmp_path: Path) -> None:
        """With the row, in one transaction. The same row again charges nothing."""
        async with self.opened(tmp_path) as shared:
            await shared.borrow("one", [_ask(_BUDGET, 100)], 0, _LEASE)
            rows = [row("run_a", 60)]
            assert await shared.sync("one", rows, [Repayment(_BUDGET, _WINDOW, 60, 40)], 0, _LEASE) == {"run_a"}
            for _ in range(2):
                assert await shared.sync("one", rows, [], 0, _LEASE) == frozenset()
            [state] = await shared.states([(_BUDGET, _WINDOW)], 0)
            assert (state.used, state.held, state.remaining) == (60, 0, 940)

    async def test_a_budget_is_the_sum_of_its_window_in_the_ledger(self, tmp_path: Path) -> None:
        """Also one that is new, and after its counter was lost. Rows of other days and teams do not count."""
        async with self.opened(tmp_path) as shared:
            await shared.add([row("run_a", 60), row("run_b", 7, days=1), row("run_c", 9, team="ops")])
            [state] = await shared.states([(_BUDGET, _WINDOW)], 0)
            assert state.used == 60
            refusal = await shared.borrow("one", [_ask(_BUDGET, 941)], 0, _LEASE)
            assert isinstance(refusal, Refusal)
            assert refusal.is_spent
            assert isinstance(await shared.borrow("one", [_ask(_BUDGET, 940)], 0, _LEASE), Loan)

    async def test_what_a_worker_that_is_gone_has_borrowed_is_free_again(self, tmp_path: Path) -> None:
        """What it has left to be written is charged in the same step."""
        async with self.opened(tmp_path) as shared:
            await shared.borrow("gone", [_ask(_BUDGET, 900), _ask(_RUNS, 2)], 0, _LEASE)
            assert await shared.others("one") == {"gone": _LEASE}
            await shared.remove_worker("gone", [row("run_a", 50)])
            states = await shared.states([(_BUDGET, _WINDOW), (_RUNS, ALWAYS)], 0)
            assert [(state.used, state.held) for state in states] == [(50, 0), (0, 0)]
            assert await shared.others("one") == {}
            # The worker was not gone, after all: what it repays was taken back already.
            await shared.sync("gone", [row("run_b", 5)], [Repayment(_BUDGET, _WINDOW, 5, 845)], 0, _LEASE)
            [state] = await shared.states([(_BUDGET, _WINDOW)], 0)
            assert (state.used, state.held) == (55, 0)

    async def test_a_bucket_is_refilled_evenly(self, tmp_path: Path) -> None:
        """A refusal says when there is enough; what is given back is there at once."""
        async with self.opened(tmp_path) as shared:
            await shared.borrow("one", [_ask(_REQUESTS, 60)], 0, _LEASE)
            refusal = await shared.borrow("one", [_ask(_REQUESTS, 2)], 500, _LEASE)
            assert isinstance(refusal, Refusal)
            assert refusal.retry_after == 1.5
            assert isinstance(await shared.borrow("one", [_ask(_REQUESTS, 2)], 2_000, _LEASE), Loan)
            await shared.sync("one", [], [Repayment(_REQUESTS, ALWAYS, 0, 7)], 2_000, _LEASE)
            [state] = await shared.states([(_REQUESTS, ALWAYS)], 2_000)
            assert state.remaining == 7
