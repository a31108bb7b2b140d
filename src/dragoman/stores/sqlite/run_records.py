"""A `RunStore` in an SQLite file."""

import time
from collections.abc import Callable
from pathlib import Path

from dragoman.stores.sql.run_records import SQLRunStore, failed
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        # Fields that are filtered by have a column. The others are one value, which is cheaper to write.
        """
        CREATE TABLE runs (
            place INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            status TEXT NOT NULL,
            model TEXT NOT NULL,
            client TEXT NOT NULL,
            created REAL NOT NULL,
            error TEXT,
            owner TEXT NOT NULL,
            rest BLOB NOT NULL,
            said BLOB
        ) STRICT
        """,
        "CREATE INDEX runs_open ON runs (owner) WHERE status IN ('queued', 'running')",
        "CREATE INDEX runs_created ON runs (created)",
    ),
)


class SQLiteRunStore(SQLRunStore):
    """A `RunStore` of one machine. Several processes may share the file.

    Args:
        path: The file, readable by its owner only. The key of prompts and responses is in a file of the same name with
            the suffix `.key`.
        ttl: See `SQLRunStore`.
        entries: The same.
        clock: The same.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed), ttl=ttl, entries=entries, clock=clock)
