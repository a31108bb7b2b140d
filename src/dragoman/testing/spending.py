"""The test suite of every `SpendingLedger`."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.base import SpendingLedger

_DAY, _NEXT_DAY = "2026-11-24", "2026-11-25"


class SpendingLedgerSuite:
    """Tests of a `SpendingLedger`. A subclass defines how a ledger is opened."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[SpendingLedger]:
        """Open a ledger.

        Args:
            where: An empty directory of the test. Ledgers opened for the same directory share their sums.
        """
        raise NotImplementedError

    async def test_sums_are_by_name_and_day(self, tmp_path: Path) -> None:
        """Exact, also for amounts that a float cannot hold."""
        async with self.opened(tmp_path) as ledger:
            assert await ledger.spent("one", _DAY) == 0
            assert await ledger.add("one", _DAY, 10**15 + 1) == 10**15 + 1
            assert await ledger.add("one", _DAY, 1) == 10**15 + 2
            assert await ledger.add("one", _NEXT_DAY, 5) == 5
            assert await ledger.add("two", _DAY, 7) == 7
            assert await ledger.spent("one", _DAY) == 10**15 + 2

    async def test_several_ledgers_share_sums(self, tmp_path: Path) -> None:
        """No amount is lost, and each ledger returns the sum of both."""
        async with self.opened(tmp_path) as ledger, self.opened(tmp_path) as other:
            await asyncio.gather(*(one.add("one", _DAY, 3) for one in (ledger, other) for _ in range(20)))
            assert await ledger.spent("one", _DAY) == await other.spent("one", _DAY) == 120

    async def test_close_is_idempotent(self, tmp_path: Path) -> None:
        """The sums are there when it is opened again."""
        async with self.opened(tmp_path) as ledger:
            await ledger.add("one", _DAY, 3)
            await ledger.aclose()
        async with self.opened(tmp_path) as ledger:
            assert await ledger.spent("one", _DAY) == 3
