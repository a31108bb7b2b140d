"""A keep in a file: SQLite, values sealed."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        # Files of before there were versions have both already.
        "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL) STRICT",
        "CREATE INDEX IF NOT EXISTS kept_until ON kept (until)",
    ),
)

log = structlog.get_logger("dragoman.stores")


class SQLiteKeyValueStore:
    """A keep of one machine; several processes may share its file.

    Args:
        path: The file; its key lies beside it. Both are readable by their owner alone.
        ttl: Seconds that a value is kept.
        entries: The most values; past it the oldest go.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, _MIGRATIONS)
        self._ttl = ttl
        self._entries = entries
        self._clock = clock
        self._made_seal: Cipher | None = None

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `Keep.get`."""
        try:
            return await self._database.read(lambda connection: self._get(connection, names)) if names else {}
        except (sqlite3.Error, OSError) as error:
            self._broke(error)
            return {}

    async def put(self, name: str, value: bytes) -> None:
        """See `Keep.put`."""
        try:
            await self._database.write(lambda connection: self._put(connection, name, value))
        except (sqlite3.Error, OSError) as error:
            self._broke(error)

    async def aclose(self) -> None:
        """See `Keep.aclose`."""
        await self._database.aclose()

    def _broke(self, error: Exception) -> None:
        log.warning("keep.broke", path=str(self._database.path), error=str(error))

    # In the thread.

    def _get(self, connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, bytes]:
        marks = ",".join("?" * len(names))
        query = f"SELECT name, value FROM kept WHERE until > ? AND name IN ({marks})"  # noqa: S608 - question marks
        rows = connection.execute(query, (self._clock(), *names)).fetchall()
        seal = self._seal()
        opened = ((name, seal.decrypt(value, name)) for name, value in rows)
        return {name: value for name, value in opened if value is not None}

    def _put(self, connection: sqlite3.Connection, name: str, value: bytes) -> None:
        now = self._clock()
        row = (name, self._seal().encrypt(value, name), now + self._ttl)
        connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
        connection.execute("DELETE FROM kept WHERE until <= ?", (now,))
        excess = "SELECT name FROM kept ORDER BY until DESC, rowid DESC LIMIT -1 OFFSET ?"
        connection.execute(f"DELETE FROM kept WHERE name IN ({excess})", (self._entries,))  # noqa: S608 - constant

    def _seal(self) -> Cipher:
        if self._made_seal is None:
            self._made_seal = Cipher.of_file(self._database.path.with_suffix(".key"))
        return self._made_seal
