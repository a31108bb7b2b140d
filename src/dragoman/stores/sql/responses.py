"""A `ResponseStore` in SQL.

Some columns have old names, which stay because the format of SQLite files does: `place` is the position in lists, in
the order of creation; `labels` is the metadata, as JSON; `until` is the time of expiry in seconds since 1970, and 0 if
the entry was deleted but a later entry still continues it; `holder` is the producer that holds the lease. `queued` has
the requests of entries whose production has not begun.
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.stores.base import EntryPage, EntryQuery, FoundEntry, QueuedEntry, ResponseStoreLimits, StoredEntry
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore

_FIELDS = "id, owner, kind, model, created, parent, labels, body"
_ADD = """
INSERT INTO entries (id, owner, kind, model, created, parent, labels, until, holder, lease, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
_APPEND = """
INSERT INTO events SELECT id, ?, ? FROM entries WHERE id = ? ON CONFLICT (id, number) DO NOTHING
"""
_CHAIN = f"""
WITH RECURSIVE chain(id, depth) AS (
    SELECT id, 0 FROM entries WHERE id = ? AND owner = ? AND until > ?
    UNION ALL
    SELECT entries.parent, depth + 1 FROM chain JOIN entries USING (id) WHERE entries.parent IS NOT NULL
)
SELECT {_FIELDS} FROM chain JOIN entries USING (id) ORDER BY depth DESC
"""  # noqa: S608 - constants
_HAS_NO_CHILD = "NOT EXISTS (SELECT 1 FROM entries AS later WHERE later.parent = entries.id)"
_HAS_NO_LEASE = "(lease IS NULL OR lease <= ?)"

_IS_QUEUED = "EXISTS (SELECT 1 FROM queued WHERE queued.id = entries.id)"
_IS_HELD = "EXISTS (SELECT 1 FROM entries WHERE entries.id = queued.id AND holder IS NOT NULL)"
_NO_PRODUCER = "-"
"""The holder of an entry that was handed over."""
_BEGIN = """
DELETE FROM queued WHERE id = ? AND EXISTS (SELECT 1 FROM entries WHERE entries.id = queued.id AND holder = ?)
"""
_HAND_OVER = f"UPDATE entries SET holder = ?, lease = 0 WHERE id = ? AND holder = ? AND {_IS_QUEUED}"  # noqa: S608 - constant
_LEFT = f"""
SELECT {_FIELDS}, request FROM entries JOIN queued USING (id)
WHERE holder IS NOT NULL AND lease <= ? ORDER BY place LIMIT ?
"""  # noqa: S608 - constant

_Row: TypeAlias = tuple[str, str, str, str, int, str | None, str, bytes]


class SQLResponseStore(SQLStore):
    """A `ResponseStore` in a database.

    Args:
        database: The database. It is closed with the store.
        limits: How much is stored, and for how long.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        database: SQLDatabase,
        limits: ResponseStoreLimits | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(database)
        self._limits = limits or ResponseStoreLimits()
        self._clock = clock

    async def add(self, entry: StoredEntry, producer: str | None = None, request: bytes | None = None) -> None:
        """See `ResponseStore.add`."""
        await self._database.write(lambda db: self._add(db, entry, producer, request))

    async def get(self, owner: str, id_: str) -> FoundEntry | None:
        """See `ResponseStore.get`."""
        return await self._database.read(lambda db: self._get(db, owner, id_))

    async def chain(self, owner: str, id_: str) -> Sequence[StoredEntry]:
        """See `ResponseStore.chain`."""
        values = (id_, owner, self._clock())
        return await self._database.read(lambda db: [_entry(row) for row in db.execute(_CHAIN, values).fetchall()])

    async def page(self, owner: str, query: EntryQuery) -> EntryPage | None:
        """See `ResponseStore.page`."""
        return await self._database.read(lambda db: self._page(db, owner, query))

    async def update(self, entry: StoredEntry) -> bool:
        """See `ResponseStore.update`."""
        sql = "UPDATE entries SET labels = ?, body = ? WHERE id = ? AND owner = ? AND until > ?"
        values = (json.dumps(dict(entry.metadata)), entry.body, entry.id, entry.owner, self._clock())
        return bool(await self._database.write(lambda db: db.execute(sql, values).rowcount))

    async def delete(self, owner: str, id_: str) -> bool:
        """See `ResponseStore.delete`."""
        return await self._database.write(lambda db: self._delete(db, owner, id_))

    async def begin(self, id_: str, producer: str) -> bool:
        """See `ResponseStore.begin`."""
        return bool(await self._database.write(lambda db: db.execute(_BEGIN, (id_, producer)).rowcount))

    async def hand_over(self, producer: str, ids: Sequence[str]) -> frozenset[str]:
        """See `ResponseStore.hand_over`."""

        def hand_over(db: Connection) -> frozenset[str]:
            return frozenset(id_ for id_ in ids if db.execute(_HAND_OVER, (_NO_PRODUCER, id_, producer)).rowcount)

        return await self._database.write(hand_over)

    async def take_over(self, producer: str, limit: int) -> Sequence[QueuedEntry]:
        """See `ResponseStore.take_over`."""
        is_left = await self._database.read(lambda db: db.execute(_LEFT, (self._clock(), 1)).fetchone())
        return await self._database.write(lambda db: self._take_over(db, producer, limit)) if is_left else []

    async def renew(self, producer: str) -> frozenset[str]:
        """See `ResponseStore.renew`."""
        sql = "UPDATE entries SET lease = ? WHERE holder = ? RETURNING id"
        values = (self._clock() + self._limits.lease, producer)
        return await self._database.write(lambda db: frozenset(id_ for (id_,) in db.execute(sql, values).fetchall()))

    async def finish(self, id_: str, body: bytes) -> bool:
        """See `ResponseStore.finish`."""

        def finish(db: Connection) -> bool:
            db.execute("DELETE FROM queued WHERE id = ?", (id_,)).close()
            sql = "UPDATE entries SET body = ?, holder = NULL, lease = NULL WHERE id = ? AND holder IS NOT NULL"
            return bool(db.execute(sql, (body, id_)).rowcount)

        return await self._database.write(finish)

    async def append(self, id_: str, first: int, events: Sequence[bytes]) -> None:
        """See `ResponseStore.append`."""
        rows = [(number, data, id_) for number, data in enumerate(events, first)]
        await self._database.write(lambda db: db.executemany(_APPEND, rows).close())

    async def events(self, id_: str, first: int) -> Sequence[bytes]:
        """See `ResponseStore.events`."""
        sql = "SELECT data FROM events WHERE id = ? AND number >= ? ORDER BY number"
        return await self._database.read(lambda db: [data for (data,) in db.execute(sql, (id_, first)).fetchall()])

    # The rest runs in the thread of the database.

    def _add(self, db: Connection, entry: StoredEntry, producer: str | None, request: bytes | None) -> None:
        now = self._clock()
        row = (entry.id, entry.owner, entry.kind, entry.model, entry.created, entry.parent)
        lease = now + self._limits.lease if producer else None
        more = (json.dumps(dict(entry.metadata)), now + self._limits.ttl, producer, lease, entry.body)
        if db.execute(_ADD, (*row, *more)).rowcount and request is not None:
            encrypted = self._database.cipher().encrypt(request, entry.id)
            db.execute("INSERT INTO queued VALUES (?, ?)", (entry.id, encrypted)).close()
        _delete_expired(db, now)
        self._delete_excess(db, now, entry.id)

    def _take_over(self, db: Connection, producer: str, limit: int) -> list[QueuedEntry]:
        now, taken = self._clock(), []
        for *fields, encrypted in db.execute(_LEFT, (now, limit)).fetchall():
            entry = _entry(tuple(fields))
            request = self._database.cipher().decrypt(encrypted, entry.id)
            if request is None:  # this process has another key
                continue
            sql = "UPDATE entries SET holder = ?, lease = ? WHERE id = ?"
            db.execute(sql, (producer, now + self._limits.lease, entry.id)).close()
            taken.append(QueuedEntry(entry, request))
        return taken

    def _delete_excess(self, db: Connection, now: float, newest: str) -> None:
        """Delete entries until the store is within its limits: the end of the oldest conversation first."""
        oldest = f"SELECT id FROM entries WHERE id != ? AND {_HAS_NO_LEASE} AND {_HAS_NO_CHILD} ORDER BY place LIMIT 1"  # noqa: S608 - constants
        while True:
            count, size = db.execute("SELECT entries, size FROM totals").fetchone()
            if count <= self._limits.entries and size <= self._limits.size:
                return
            sql = f"DELETE FROM entries WHERE id = ({oldest})"  # noqa: S608 - constants
            if not db.execute(sql, (newest, now)).rowcount:
                return

    def _get(self, db: Connection, owner: str, id_: str) -> FoundEntry | None:
        now = self._clock()
        sql = f"SELECT {_FIELDS}, lease, {_IS_QUEUED} FROM entries WHERE id = ? AND owner = ? AND until > ?"  # noqa: S608 - constant
        row = db.execute(sql, (id_, owner, now)).fetchone()
        if row is None:
            return None
        *fields, lease, is_queued = row
        is_left = lease is not None and lease <= now and not is_queued
        return FoundEntry(_entry(tuple(fields)), pending=lease is not None and not is_left, abandoned=is_left)

    def _page(self, db: Connection, owner: str, query: EntryQuery) -> EntryPage | None:
        now = self._clock()
        where, values = ["owner = ?", "kind = ?", "until > ?", "holder IS NULL"], [owner, query.kind, now]
        if query.after is not None:
            sql = "SELECT place FROM entries WHERE id = ? AND owner = ? AND kind = ? AND until > ?"
            found = db.execute(sql, (query.after, owner, query.kind, now)).fetchone()
            if found is None:
                return None
            where.append("place > ?" if query.order == "asc" else "place < ?")
            values.append(found[0])
        if query.model is not None:
            where.append("model = ?")
            values.append(query.model)
        for key, value in query.metadata.items():
            where.append(self._database.syntax.has_label)
            values += [key, value]
        sql = f"SELECT {_FIELDS} FROM entries WHERE {' AND '.join(where)} ORDER BY place {query.order} LIMIT ?"  # noqa: S608 - constants
        rows = db.execute(sql, (*values, query.limit + 1)).fetchall()
        return EntryPage([_entry(row) for row in rows[: query.limit]], more=len(rows) > query.limit)

    def _delete(self, db: Connection, owner: str, id_: str) -> bool:
        now = self._clock()
        sql = "UPDATE entries SET until = 0, holder = NULL, lease = NULL WHERE id = ? AND owner = ? AND until > ?"
        deleted = db.execute(sql, (id_, owner, now)).rowcount
        db.execute(f"DELETE FROM queued WHERE id = ? AND NOT {_IS_HELD}", (id_,)).close()  # noqa: S608 - constant
        _delete_expired(db, now)
        return bool(deleted)


def _delete_expired(db: Connection, now: float) -> None:
    """Delete entries that are too old or were deleted, unless a later entry continues them."""
    sql = f"DELETE FROM entries WHERE until <= ? AND {_HAS_NO_LEASE} AND {_HAS_NO_CHILD}"  # noqa: S608 - constants
    while db.execute(sql, (now, now)).rowcount:
        pass  # Their parents may have no child now.


def _entry(row: _Row) -> StoredEntry:
    id_, owner, kind, model, created, parent, labels, body = row
    return StoredEntry(
        id=id_,
        owner=owner,
        kind=kind,
        model=model,
        created=created,
        parent=parent,
        metadata=json.loads(labels),
        body=body,
    )


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.error("archive.broke", path=place, error=str(error))
    return StoreFailed(
        "Stored responses cannot be read or written now. The gateway's log has the reason. Send `store: false` to go "
        "without storage."
    )
