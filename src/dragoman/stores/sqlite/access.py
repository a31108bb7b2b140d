"""An `AccessStore` in an SQLite file."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.stores.access import (
    AccessState,
    AuditEntry,
    ChangeKey,
    ChangeTeam,
    KeyRecord,
    TeamRecord,
)
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
_VERSION = "SELECT coalesce(max(number), 0) FROM audit"
_SAVE = "INSERT INTO {table} VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record"


class SQLiteAccessStore:
    """An `AccessStore` of one machine. Several processes may share the file. It is created with the first key.

    Args:
        path: The file, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _MIGRATIONS, _failed)

    async def version(self) -> int:
        """See `AccessStore.version`."""
        if not self._exists():
            return 0
        return await self._database.read(_version)

    async def load(self) -> AccessState:
        """See `AccessStore.load`."""
        if not self._exists():
            return AccessState()
        return await self._database.read(lambda db: AccessState(_version(db), _keys(db), _teams(db)))

    async def change_key(self, name: str, change: ChangeKey) -> KeyRecord:
        """See `AccessStore.change_key`."""

        def work(db: sqlite3.Connection) -> KeyRecord:
            record, entry = change(_keys(db).get(name), _teams(db))
            _save(db, "keys", record, entry)
            return record

        return await self._database.write(work)

    async def change_team(self, name: str, change: ChangeTeam) -> TeamRecord:
        """See `AccessStore.change_team`."""

        def work(db: sqlite3.Connection) -> TeamRecord:
            record, entry = change(_teams(db).get(name), _keys(db))
            _save(db, "teams", record, entry)
            return record

        return await self._database.write(work)

    async def audit(self, limit: int) -> Sequence[AuditEntry]:
        """See `AccessStore.audit`."""
        if not self._exists():
            return []
        query = "SELECT entry FROM audit ORDER BY number DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (limit,)).fetchall())
        return [msgspec.json.decode(entry, type=AuditEntry) for (entry,) in rows]

    def failures(self) -> Mapping[str, str]:
        """See `Database.failures`."""
        return self._database.failures()

    async def aclose(self) -> None:
        """See `AccessStore.aclose`."""
        await self._database.aclose()

    def _exists(self) -> bool:
        return self._database.path.exists()


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute(_VERSION).fetchone()[0])


def _keys(db: sqlite3.Connection) -> dict[str, KeyRecord]:
    rows = db.execute("SELECT name, record FROM keys ORDER BY name").fetchall()
    return {name: msgspec.json.decode(record, type=KeyRecord) for name, record in rows}


def _teams(db: sqlite3.Connection) -> dict[str, TeamRecord]:
    rows = db.execute("SELECT name, record FROM teams ORDER BY name").fetchall()
    return {name: msgspec.json.decode(record, type=TeamRecord) for name, record in rows}


def _save(db: sqlite3.Connection, table: str, record: KeyRecord | TeamRecord, entry: AuditEntry) -> None:
    db.execute(_SAVE.format(table=table), (record.name, msgspec.json.encode(record))).close()
    db.execute("INSERT INTO audit (entry) VALUES (?)", (msgspec.json.encode(entry),)).close()


def _failed(path: Path, error: Exception) -> StoreFailed:
    log.warning("access.store_broke", path=str(path), error=str(error))
    return StoreFailed("Keys and teams cannot be read or written now. The gateway's log has the reason.")
