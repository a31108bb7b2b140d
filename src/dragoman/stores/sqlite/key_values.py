"""A `KeyValueStore` in an SQLite file. Values are encrypted."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.database import Database, FileState

_MIGRATIONS = (
    (
        # Files from before the version was recorded have both already.
        "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL) STRICT",
        "CREATE INDEX IF NOT EXISTS kept_until ON kept (until)",
    ),
)


class SQLiteKeyValueStore:
    """A `KeyValueStore` of one machine. Several processes may share its file.

    Args:
        path: The file. Its key is in a file of the same name with the suffix `.key`. Both are readable by their owner
            only.
        ttl: Seconds that a value is stored.
        entries: The maximum number of values. When it is exceeded, the oldest are deleted.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, _MIGRATIONS, _failed)
        self._ttl = ttl
        self._entries = entries
        self._clock = clock
        self._empty_state: FileState | None = None  # the state of the file in which it held nothing

    def is_empty(self) -> bool:
        """See `KeyValueStore.is_empty`. It looks at the file's times and size, which every writer changes."""
        return self._empty_state is not None and self._empty_state == self._database.state()

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `KeyValueStore.get`."""
        try:
            return await self._database.read(lambda db: self._get(db, names)) if names else {}
        except StoreFailed:
            return {}

    async def put(self, name: str, value: bytes) -> None:
        """See `KeyValueStore.put`."""
        try:
            await self._database.write(lambda db: self._put(db, name, value))
        except StoreFailed:
            return

    def failures(self) -> Mapping[str, str]:
        """See `Database.failures`."""
        return self._database.failures()

    async def aclose(self) -> None:
        """See `KeyValueStore.aclose`."""
        await self._database.aclose()

    # The rest runs in the thread of the database.

    @cached_property
    def _cipher(self) -> Cipher:
        return Cipher.of_file(self._database.path.with_suffix(".key"))

    def _get(self, db: sqlite3.Connection, names: Sequence[str]) -> dict[str, bytes]:
        state = self._database.state()
        if state is not None and db.execute("SELECT 1 FROM kept LIMIT 1").fetchone() is None:
            self._empty_state = state
            return {}
        marks = ",".join("?" * len(names))
        query = f"SELECT name, value FROM kept WHERE until > ? AND name IN ({marks})"  # noqa: S608 - question marks
        rows = db.execute(query, (self._clock(), *names)).fetchall()
        decrypted = ((name, self._cipher.decrypt(value, name)) for name, value in rows)
        return {name: value for name, value in decrypted if value is not None}

    def _put(self, db: sqlite3.Connection, name: str, value: bytes) -> None:
        now = self._clock()
        row = (name, self._cipher.encrypt(value, name), now + self._ttl)
        db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
        db.execute("DELETE FROM kept WHERE until <= ?", (now,))
        excess = "SELECT name FROM kept ORDER BY until DESC, rowid DESC LIMIT -1 OFFSET ?"
        db.execute(f"DELETE FROM kept WHERE name IN ({excess})", (self._entries,))  # noqa: S608 - constant


def _failed(path: Path, error: Exception) -> StoreFailed:
    log.warning("keep.broke", path=str(path), error=str(error))
    return StoreFailed("Stored values cannot be read or written now. The gateway's log has the reason.")
