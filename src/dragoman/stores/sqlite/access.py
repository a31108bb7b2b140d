"""An `AccessStore` in an SQLite file."""

from pathlib import Path

from dragoman.stores.sql.access import SQLAccessStore, failed
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        "CREATE TABLE keys (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE teams (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, entry BLOB NOT NULL) STRICT",
        # Append-only, for every program that opens the file.
        "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'append-only'); END",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'append-only'); END",
    ),
)


class SQLiteAccessStore(SQLAccessStore):
    """An `AccessStore` of one machine. Several processes may share the file. It is created with the first key.

    Args:
        path: The file, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path, _MIGRATIONS, failed))
