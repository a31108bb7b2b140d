"""The test suite of every `Ledger`."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from dragoman.stores.ledger import Ledger, LedgerFilter, LedgerRow, Tokens

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

    async def test_a_run_on_two_upstreams_has_two_rows(self, tmp_path: Path) -> None:
        """Both are paid for. It is one run."""
        async with self.opened(tmp_path) as ledger:
            first = row("run_a", 5)
            await ledger.add([first, replace(first, upstream="other", nanodollars=7), first])
            [total] = await ledger.sums(LedgerFilter(), ())
            assert (total.runs, total.nanodollars) == (1, 12)

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
