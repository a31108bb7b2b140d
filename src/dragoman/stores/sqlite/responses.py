"""A `ResponseStore` in an SQLite file. Some columns have old names; see `dragoman.stores.sql.responses`."""

import time
from collections.abc import Callable
from pathlib import Path

from dragoman.stores.base import ResponseStoreLimits
from dragoman.stores.sql.responses import SQLResponseStore, failed
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        """
        CREATE TABLE entries (
            place INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            owner TEXT NOT NULL,
            kind TEXT NOT NULL,
            model TEXT NOT NULL,
            created INTEGER NOT NULL,
            parent TEXT,
            labels TEXT NOT NULL,
            until REAL NOT NULL,
            holder TEXT,
            lease REAL,
            body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX entries_until ON entries (until)",
        "CREATE INDEX entries_parent ON entries (parent) WHERE parent IS NOT NULL",
        "CREATE INDEX entries_holder ON entries (holder) WHERE holder IS NOT NULL",
        "CREATE INDEX entries_list ON entries (owner, kind, place)",
        """
        CREATE TABLE events (
            id TEXT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (id, number)
        ) STRICT, WITHOUT ROWID
        """,
        # Counted by triggers: a sum over all entries for each new one would be slow.
        "CREATE TABLE totals (entries INTEGER NOT NULL, size INTEGER NOT NULL) STRICT",
        "INSERT INTO totals VALUES (0, 0)",
        """
        CREATE TRIGGER entries_added AFTER INSERT ON entries
        BEGIN UPDATE totals SET entries = entries + 1, size = size + length(new.body); END
        """,
        """
        CREATE TRIGGER entries_changed AFTER UPDATE OF body ON entries
        BEGIN UPDATE totals SET size = size + length(new.body) - length(old.body); END
        """,
        """
        CREATE TRIGGER entries_gone AFTER DELETE ON entries
        BEGIN UPDATE totals SET entries = entries - 1, size = size - length(old.body); END
        """,
        """
        CREATE TRIGGER events_added AFTER INSERT ON events
        BEGIN UPDATE totals SET size = size + length(new.data); END
        """,
        """
        CREATE TRIGGER events_gone AFTER DELETE ON events
        BEGIN UPDATE totals SET size = size - length(old.data); END
        """,
    ),
    (
        """
        CREATE TABLE queued (
            id TEXT PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE,
            request BLOB NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    ),
)


class SQLiteResponseStore(SQLResponseStore):
    """A `ResponseStore` of one machine. Several processes may share its file.

    Args:
        path: The file, readable by its owner only.
        limits: How much is stored, and for how long.
        clock: Seconds since 1970.
    """

    def __init__(
        self, path: Path, limits: ResponseStoreLimits | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed), limits, clock=clock)
