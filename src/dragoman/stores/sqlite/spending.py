"""A `SpendingLedger` in an SQLite file."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from dragoman.stores.sqlite.database import Database

_TABLE = """
CREATE TABLE spent (name TEXT NOT NULL, day TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (name, day))
STRICT, WITHOUT ROWID
"""
_MIGRATIONS = ((_TABLE,),)
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?)"
    " ON CONFLICT (name, day) DO UPDATE SET amount = amount + excluded.amount RETURNING amount"
)


class SQLiteSpendingLedger:
    """A `SpendingLedger` of one machine. Several processes may share its file.

    Args:
        path: The file, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _MIGRATIONS)

    async def spent(self, name: str, day: str) -> int:
        """See `SpendingLedger.spent`."""

        def select(db: sqlite3.Connection) -> int:
            query = "SELECT amount FROM spent WHERE name = ? AND day = ?"
            with closing(db.execute(query, (name, day))) as cursor:
                row = cursor.fetchone()
            return int(row[0]) if row else 0

        return await self._database.read(select)

    async def add(self, name: str, day: str, amount: int) -> int:
        """See `SpendingLedger.add`."""

        def insert(db: sqlite3.Connection) -> int:
            with closing(db.execute(_ADD, (name, day, amount))) as cursor:
                return int(cursor.fetchone()[0])

        return await self._database.write(insert)

    def failures(self) -> Mapping[str, str]:
        """See `Database.failures`."""
        return self._database.failures()

    async def aclose(self) -> None:
        """See `SpendingLedger.aclose`."""
        await self._database.aclose()
