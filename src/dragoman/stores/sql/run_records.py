"""A `RunStore` in SQL. Prompts and responses are encrypted."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

import msgspec

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import replace
from dragoman.stores.run_records import INTERRUPTED, RunPage, RunQuery, RunRecord
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore

_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS_PER_STATEMENT = 100
"""With one statement for each row the thread would wait for the interpreter's lock that often."""
_SAVE = """
INSERT INTO runs (id, status, model, client, created, error, owner, rest, said) VALUES {rows}
ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error, owner = excluded.owner,
    rest = excluded.rest, said = excluded.said
"""
_IS_OPEN = "status IN ('queued', 'running')"
_FIELDS = "id, status, model, client, created, error, rest"
_MAX_CONTENT_BYTES = 2**20
"""Of a prompt or response that is stored with a record."""

_Row: TypeAlias = tuple[str, str, str, str, float, str | None, bytes]


class _Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields that have no column."""

    request: str | None = None
    path: str | None = None
    upstream: str | None = None
    endpoint: str | None = None
    ended: float | None = None
    stages: Mapping[str, float] = {}
    usage: Mapping[str, object] | None = None
    reason: str | None = None
    calls: tuple[Mapping[str, object], ...] = ()
    warnings: tuple[Mapping[str, str], ...] = ()
    cache: Mapping[str, object] | None = None


class SQLRunStore(SQLStore):
    """A `RunStore` in a database.

    A row names the process that wrote it. An open run whose process is gone is read as failed, and the next `save`
    stores that.

    Args:
        database: The database. It is closed with the store.
        ttl: Seconds that a record is stored.
        entries: The maximum number of records. When it is exceeded, the oldest are deleted.
        clock: Seconds since 1970.
    """

    def __init__(
        self, database: SQLDatabase, *, ttl: float, entries: int, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(database)
        self._ttl = ttl
        self._entries = entries
        self._clock = clock

    async def save(self, records: Sequence[RunRecord]) -> None:
        """See `RunStore.save`."""
        await self._database.write(lambda db: self._save(db, records))

    async def get(self, id_: str) -> RunRecord | None:
        """See `RunStore.get`."""
        return await self._database.read(lambda db: self._get(db, id_))

    async def page(self, query: RunQuery) -> RunPage | None:
        """See `RunStore.page`."""
        return await self._database.read(lambda db: self._page(db, query))

    # The rest runs in the thread of the database.

    def _save(self, db: Connection, records: Sequence[RunRecord]) -> None:
        records = list({record.id: record for record in records}.values())  # a statement changes no row twice
        for first in range(0, len(records), _ROWS_PER_STATEMENT):
            rows = [self._row(record) for record in records[first : first + _ROWS_PER_STATEMENT]]
            sql = _SAVE.format(rows=", ".join([_ROW] * len(rows)))
            db.execute(sql, list(chain.from_iterable(rows))).close()
        for process in self._ended_processes(db):
            sql = f"UPDATE runs SET status = 'failed', error = ? WHERE owner = ? AND {_IS_OPEN}"  # noqa: S608 - constant
            db.execute(sql, (INTERRUPTED, process)).close()
        db.execute("DELETE FROM runs WHERE created < ?", (self._clock() - self._ttl,)).close()
        older = self._database.syntax.older
        db.execute(f"DELETE FROM runs WHERE place <= ({older})", (self._entries,)).close()  # noqa: S608 - constant

    def _row(self, record: RunRecord) -> tuple[object, ...]:
        rest = _Rest(
            record.request,
            record.path,
            record.upstream,
            record.endpoint,
            record.ended,
            record.stages,
            record.usage,
            record.reason,
            record.calls,
            record.warnings,
            record.cache,
        )
        process = self._database.process
        columns = (record.id, record.status, record.model, record.client, record.created, record.error, process)
        return (*columns, msgspec.json.encode(rest), self._encrypted_content(record))

    def _encrypted_content(self, record: RunRecord) -> bytes | None:
        if record.prompt is None and record.response is None:
            return None
        content = msgspec.json.encode([_limited(record.prompt), _limited(record.response)])
        return self._database.cipher().encrypt(content, record.id)

    def _get(self, db: Connection, id_: str) -> RunRecord | None:
        table, values = _current_runs(self._ended_processes(db))
        row = db.execute(f"SELECT {_FIELDS}, said FROM {table} WHERE id = ?", (*values, id_)).fetchone()  # noqa: S608 - constants
        if row is None:
            return None
        *columns, encrypted = row
        content = self._database.cipher().decrypt(encrypted, id_) if encrypted else None
        prompt, response = msgspec.json.decode(content) if content else (None, None)
        return replace(_record(tuple(columns)), prompt=prompt, response=response)

    def _page(self, db: Connection, query: RunQuery) -> RunPage | None:
        table, values = _current_runs(self._ended_processes(db))
        conditions: list[str] = []
        if query.statuses:
            conditions.append(f"status IN ({','.join('?' * len(query.statuses))})")
            values += query.statuses
        filters = (
            (f"{self._database.syntax.position} > 0", query.model),
            ("client = ?", query.client),
            ("created >= ?", query.since),
        )
        for condition, value in filters:
            if value is not None:
                conditions.append(condition)
                values.append(value)
        if query.after is not None:
            place = db.execute("SELECT place FROM runs WHERE id = ?", (query.after,)).fetchone()
            if place is None:
                return None
            conditions.append("place < ?")
            values += place
        where = " AND ".join(conditions) or "true"
        sql = f"SELECT {_FIELDS} FROM {table} WHERE {where} ORDER BY place DESC LIMIT ?"  # noqa: S608 - constants and question marks
        rows: list[_Row] = db.execute(sql, (*values, query.limit + 1)).fetchall()
        return RunPage([_record(row) for row in rows[: query.limit]], len(rows) > query.limit)

    def _ended_processes(self, db: Connection) -> list[str]:
        """Return the processes that are gone and left runs open."""
        sql = f"SELECT DISTINCT owner FROM runs WHERE {_IS_OPEN} AND owner != ?"  # noqa: S608 - constant
        rows = db.execute(sql, (self._database.process,)).fetchall()
        return self._database.ended(db, [process for (process,) in rows])


def _current_runs(ended: Sequence[str]) -> tuple[str, list[object]]:
    """Return the runs as a table expression and its values. Open runs of ended processes are failed there."""
    if not ended:
        return "runs", []
    interrupted = f"{_IS_OPEN} AND owner IN ({','.join('?' * len(ended))})"
    table = (
        f"(SELECT place, id, CASE WHEN {interrupted} THEN 'failed' ELSE status END AS status, model, client, created,"  # noqa: S608 - constants and question marks
        f" CASE WHEN {interrupted} THEN ? ELSE error END AS error, rest, said FROM runs) AS current_runs"
    )
    return table, [*ended, *ended, INTERRUPTED]


def _record(row: _Row) -> RunRecord:
    id_, status, model, client, created, error, rest = row
    others = msgspec.structs.asdict(msgspec.json.decode(rest, type=_Rest))
    return RunRecord(id=id_, status=status, model=model, client=client, created=created, error=error, **others)


def _limited(content: JSONObject | None) -> object:
    """Return the content as JSON, or only its size if it is too large to store."""
    encoded = msgspec.json.encode(content)
    return msgspec.Raw(encoded) if len(encoded) <= _MAX_CONTENT_BYTES else {"omitted_bytes": len(encoded)}


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.warning("runs.store_broke", path=place, error=str(error))
    return StoreFailed("Run records cannot be read or written now. The gateway's log has the reason.")
