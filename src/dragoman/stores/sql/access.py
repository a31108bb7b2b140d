"""An `AccessStore` in SQL."""

from collections.abc import Sequence

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
from dragoman.stores.sql.database import Connection, SQLStore

_VERSION = "SELECT coalesce(max(number), 0) FROM audit"
_SAVE = "INSERT INTO {table} VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record"


class SQLAccessStore(SQLStore):
    """An `AccessStore` in a database."""

    async def version(self) -> int:
        """See `AccessStore.version`."""
        if not self._database.exists():
            return 0
        return await self._database.read(_version)

    async def load(self) -> AccessState:
        """See `AccessStore.load`."""
        if not self._database.exists():
            return AccessState()
        return await self._database.read(lambda db: AccessState(_version(db), _keys(db), _teams(db)))

    async def change_key(self, name: str, change: ChangeKey) -> KeyRecord:
        """See `AccessStore.change_key`."""

        def work(db: Connection) -> KeyRecord:
            record, entry = change(_keys(db).get(name), _teams(db))
            _save(db, "keys", record, entry)
            return record

        return await self._database.write(work)

    async def change_team(self, name: str, change: ChangeTeam) -> TeamRecord:
        """See `AccessStore.change_team`."""

        def work(db: Connection) -> TeamRecord:
            record, entry = change(_teams(db).get(name), _keys(db))
            _save(db, "teams", record, entry)
            return record

        return await self._database.write(work)

    async def audit(self, limit: int) -> Sequence[AuditEntry]:
        """See `AccessStore.audit`."""
        if not self._database.exists():
            return []
        query = "SELECT entry FROM audit ORDER BY number DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (limit,)).fetchall())
        return [msgspec.json.decode(entry, type=AuditEntry) for (entry,) in rows]


def _version(db: Connection) -> int:
    return int(db.execute(_VERSION).fetchone()[0])


def _keys(db: Connection) -> dict[str, KeyRecord]:
    rows = db.execute("SELECT name, record FROM keys ORDER BY name").fetchall()
    return {name: msgspec.json.decode(record, type=KeyRecord) for name, record in rows}


def _teams(db: Connection) -> dict[str, TeamRecord]:
    rows = db.execute("SELECT name, record FROM teams ORDER BY name").fetchall()
    return {name: msgspec.json.decode(record, type=TeamRecord) for name, record in rows}


def _save(db: Connection, table: str, record: KeyRecord | TeamRecord, entry: AuditEntry) -> None:
    db.execute(_SAVE.format(table=table), (record.name, msgspec.json.encode(record))).close()
    db.execute("INSERT INTO audit (entry) VALUES (?)", (msgspec.json.encode(entry),)).close()


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.warning("access.store_broke", path=place, error=str(error))
    return StoreFailed("Keys and teams cannot be read or written now. The gateway's log has the reason.")
