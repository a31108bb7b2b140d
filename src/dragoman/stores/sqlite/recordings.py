"""A `RecordingStore` in an SQLite file."""

import time
from collections.abc import Callable
from pathlib import Path

from dragoman.stores.sql.recordings import SQLRecordingStore, failed
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        """
        CREATE TABLE recordings (
            name TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            request BLOB NOT NULL,
            producer TEXT NOT NULL,
            created REAL NOT NULL,
            size INTEGER NOT NULL DEFAULT 0,
            response BLOB
        ) STRICT
        """,
        "CREATE INDEX recordings_created ON recordings (created)",
        "CREATE INDEX recordings_size ON recordings (owner, size)",
    ),
)


class SQLiteRecordingStore(SQLRecordingStore):
    """A `RecordingStore` of one machine. Several processes may share its file.

    Args:
        path: The file. Its key is in a file of the same name with the suffix `.key`. Both are readable by their owner
            only.
        ttl: See `SQLRecordingStore`.
        size: The same.
        clock: The same.
        alive: The same.
    """

    def __init__(
        self,
        path: Path,
        *,
        ttl: float,
        size: int,
        clock: Callable[[], float] = time.time,
        alive: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed), ttl=ttl, size=size, clock=clock, alive=alive)
