"""A ledger in a file: SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from dragoman.stores.sqlite.database import Database, Work

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
    """A ledger of one machine; several processes may share its file.

    Args:
        path: The file, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _MIGRATIONS)

    async def spent(self, name: str, day: str) -> int:
        """See `Ledger.spent`."""

        def look(connection: sqlite3.Connection) -> int:
            query = "SELECT amount FROM spent WHERE name = ? AND day = ?"
            with closing(connection.execute(query, (name, day))) as cursor:
                row = cursor.fetchone()
            return int(row[0]) if row else 0

        return await self._done(look, write=False)

    async def add(self, name: str, day: str, amount: int) -> int:
        """See `Ledger.add`."""

        def add(connection: sqlite3.Connection) -> int:
            with closing(connection.execute(_ADD, (name, day, amount))) as cursor:
                return int(cursor.fetchone()[0])

        return await self._done(add, write=True)

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""
        await self._database.aclose()

    async def _done(self, work: "Work[int]", *, write: bool) -> int:
        try:
            return await (self._database.write(work) if write else self._database.read(work))
        except sqlite3.Error as error:
            raise OSError(f"{self._database.path}: {error}") from error
