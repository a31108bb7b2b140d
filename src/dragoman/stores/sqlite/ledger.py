"""A `SharedLimits` in an SQLite file: the ledger, and the counters of limits and budgets."""

from pathlib import Path

from dragoman.stores.sql.ledger import SQLLedger, failed
from dragoman.stores.sqlite.database import BUSY_SECONDS, Database

_MIGRATIONS = (
    (
        """
        CREATE TABLE ledger (
            run TEXT PRIMARY KEY,
            began REAL NOT NULL,
            key TEXT NOT NULL,
            team TEXT NOT NULL,
            model TEXT NOT NULL,
            upstream TEXT NOT NULL,
            status TEXT NOT NULL,
            input INTEGER NOT NULL,
            cache_read INTEGER NOT NULL,
            cache_write INTEGER NOT NULL,
            output INTEGER NOT NULL,
            nanodollars INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX ledger_began ON ledger (began)",
        # Append-only, for every program that opens the file.
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'append-only'); END",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'append-only'); END",
        """
        CREATE TABLE counters (
            rule TEXT NOT NULL,
            start INTEGER NOT NULL,
            until INTEGER NOT NULL,
            used INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            PRIMARY KEY (rule, start)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE loans (
            rule TEXT NOT NULL,
            start INTEGER NOT NULL,
            worker TEXT NOT NULL,
            amount INTEGER NOT NULL,
            PRIMARY KEY (rule, start, worker)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE TABLE workers (worker TEXT PRIMARY KEY, lease INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
)


class SQLiteLedger(SQLLedger):
    """A `SharedLimits` of one machine. Several processes may share the file.

    Args:
        path: The file, readable by its owner only.
        busy_timeout: Seconds for which a call waits for a lock that another process holds.
    """

    def __init__(self, path: Path, *, busy_timeout: float = BUSY_SECONDS) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed, busy_timeout=busy_timeout))
