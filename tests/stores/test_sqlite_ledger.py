"""The ledger in an SQLite file: the suite of all ledgers, and append-only."""

import sqlite3
from contextlib import AbstractAsyncContextManager, aclosing, closing
from pathlib import Path

import pytest

from dragoman.stores.ledger import SharedLimits
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.testing.ledger import SharedLimitsSuite, row


class TestSQLiteLedger(SharedLimitsSuite):
    """The suite, with the file."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[SharedLimits]:
        """Open the ledger of a directory."""
        return aclosing(SQLiteLedger(where / "ledger.db"))


@pytest.mark.parametrize("statement", ["DELETE FROM ledger", "UPDATE ledger SET nanodollars = 0"])
async def test_rows_are_never_changed(tmp_path: Path, statement: str) -> None:
    """Not by another program, either."""
    async with aclosing(SQLiteLedger(tmp_path / "ledger.db")) as ledger:
        await ledger.add([row("run_a")])
        with (
            closing(sqlite3.connect(tmp_path / "ledger.db")) as db,
            pytest.raises(sqlite3.IntegrityError, match="append-only"),
        ):
            db.execute(statement)
