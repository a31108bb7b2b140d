"""The spending ledger in an SQLite file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.stores.sqlite.spending import SQLiteSpendingLedger

DAY = "2026-11-24"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SQLiteSpendingLedger]:
    """Open an empty ledger."""
    made = SQLiteSpendingLedger(tmp_path / "budgets.db")
    yield made
    await made.aclose()


async def test_sums_are_by_name_and_day(ledger: SQLiteSpendingLedger) -> None:
    """Exact, also for amounts that a float cannot hold."""
    assert await ledger.spent("one", DAY) == 0
    assert await ledger.add("one", DAY, 10**15 + 1) == 10**15 + 1
    assert await ledger.add("one", DAY, 1) == 10**15 + 2
    assert await ledger.add("one", "2026-11-25", 5) == 5
    assert await ledger.add("two", DAY, 7) == 7
    assert await ledger.spent("one", DAY) == 10**15 + 2


async def test_two_ledgers_add_to_one_file(ledger: SQLiteSpendingLedger, tmp_path: Path) -> None:
    """No amount is lost, and each ledger returns the sum of both."""
    other = SQLiteSpendingLedger(tmp_path / "budgets.db")
    await asyncio.gather(*(book.add("one", DAY, 3) for book in (ledger, other) for _ in range(20)))
    assert await ledger.spent("one", DAY) == await other.spent("one", DAY) == 120
    await other.aclose()


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
