"""The spending ledger in an SQLite file: the suite of all ledgers, and errors."""

from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.stores.base import SpendingLedger
from dragoman.stores.sqlite.spending import SQLiteSpendingLedger
from dragoman.testing.spending import SpendingLedgerSuite

DAY = "2026-11-24"


class TestSQLiteSpending(SpendingLedgerSuite):
    """The suite."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[SpendingLedger]:
        """Open a file in the directory."""
        return aclosing(SQLiteSpendingLedger(where / "budgets.db"))


async def test_a_damaged_file_raises_store_failed(tmp_path: Path) -> None:
    """The text names the file: it is for the log."""
    path = tmp_path / "budgets.db"
    path.write_bytes(b"this is not a database, but long enough to be read as one" * 10)
    broken = SQLiteSpendingLedger(path)
    with pytest.raises(StoreFailed, match=r"budgets\.db"):
        await broken.add("one", DAY, 1)
    with pytest.raises(StoreFailed, match=r"budgets\.db"):
        await broken.spent("one", DAY)
    await broken.aclose()
