"""A `KeyValueStore` in an SQLite file."""

import time
from collections.abc import Callable
from pathlib import Path

from dragoman.stores.sql.key_values import SQLKeyValueStore, failed
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        # Files from before the version was recorded have both already.
        "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL) STRICT",
        "CREATE INDEX IF NOT EXISTS kept_until ON kept (until)",
    ),
)


class SQLiteKeyValueStore(SQLKeyValueStore):
    """A `KeyValueStore` of one machine. Several processes may share its file.

    Args:
        path: The file. Its key is in a file of the same name with the suffix `.key`. Both are readable by their owner
            only.
        ttl: See `SQLKeyValueStore`.
        entries: The same.
        clock: The same.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed), ttl=ttl, entries=entries, clock=clock)
