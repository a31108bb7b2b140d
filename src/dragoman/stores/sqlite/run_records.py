"""Records of runs in a file: SQLite. What was asked and answered is sealed."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import msgspec
import structlog

from dragoman.core.errors import StoreFailed
from dragoman.core.messages import JSONObject
from dragoman.core.process_identity import ProcessIdentity
from dragoman.stores.crypto import Cipher
from dragoman.stores.run_records import INTERRUPTED, RunPage, RunQuery, RunRecord
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        # What is filtered by has a column; the rest is one value, which costs less to write.
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
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS = 100
"""Records that one statement writes. With one for each, the thread would wait for the interpreter's lock as often."""
_SAVE = """
INSERT INTO runs (id, status, model, client, created, error, owner, rest, said) VALUES {rows}
ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error, owner = excluded.owner,
    rest = excluded.rest, said = excluded.said
"""
_IS_OPEN = "status IN ('queued', 'running')"
_FIELDS = "id, status, model, client, created, error, rest"
_MOST_SAID = 2**20

_Row: TypeAlias = tuple[str, str, str, str, float, str | None, bytes]

log = structlog.get_logger("dragoman.stores")


class _Rest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has no column."""

    request: str | None = None
    path: str | None = None
    upstream: str | None = None
    endpoint: str | None = None
    ended: float | None = None
    stages: Mapping[str, float] = {}
    usage: Mapping[str, object] | None = None
    reason: str | None = None


class SQLiteRunStore:
    """Records of one machine's runs; several processes may share the file, which is readable by its owner alone.

    Args:
        path: The file; the key of what was said lies beside it.
        ttl: Seconds that a record is kept.
        entries: The most records; past it the oldest go.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path, _MIGRATIONS)
        self._ttl = ttl
        self._entries = entries
        self._clock = clock
        self._owner = str(ProcessIdentity.ours())
        self._made_seal: Cipher | None = None

    async def save(self, records: Sequence[RunRecord]) -> None:
        """See `RunStore.save`."""
        with self._told():
            await self._database.write(lambda db: self._save(db, records))

    async def get(self, id_: str) -> RunRecord | None:
        """See `RunStore.get`."""
        with self._told():
            return await self._database.write(lambda db: self._get(db, id_))

    async def page(self, query: RunQuery) -> RunPage | None:
        """See `RunStore.page`."""
        with self._told():
            return await self._database.write(lambda db: self._page(db, query))

    async def aclose(self) -> None:
        """See `RunStore.aclose`."""
        await self._database.aclose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            log.warning("runs.store_broke", path=str(self._database.path), error=str(error))
            raise StoreFailed("The records of runs cannot be used now. The gateway's log says why.") from error

    # In the thread.

    def _save(self, db: sqlite3.Connection, records: Sequence[RunRecord]) -> None:
        for first in range(0, len(records), _ROWS):
            rows = [self._row(record) for record in records[first : first + _ROWS]]
            saving = _SAVE.format(rows=", ".join([_ROW] * len(rows)))
            db.execute(saving, list(chain.from_iterable(rows))).close()
        db.execute("DELETE FROM runs WHERE created < ?", (self._clock() - self._ttl,)).close()
        newest = "(SELECT max(place) FROM runs)"
        db.execute(f"DELETE FROM runs WHERE place <= {newest} - ?", (self._entries,)).close()  # noqa: S608 - constant

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
        )
        fixed = (record.id, record.status, record.model, record.client, record.created, record.error, self._owner)
        return (*fixed, msgspec.json.encode(rest), self._sealed(record))

    def _get(self, db: sqlite3.Connection, id_: str) -> RunRecord | None:
        _interrupt(db, self._owner)
        row = db.execute(f"SELECT {_FIELDS}, said FROM runs WHERE id = ?", (id_,)).fetchone()  # noqa: S608 - constant
        if row is None:
            return None
        asked, answered = self._opened(id_, row[-1])
        return replace(_record(row[:-1]), prompt=asked, response=answered)

    def _page(self, db: sqlite3.Connection, query: RunQuery) -> RunPage | None:
        _interrupt(db, self._owner)
        conditions, values = _conditions(query)
        if query.after is not None:
            place = db.execute("SELECT place FROM runs WHERE id = ?", (query.after,)).fetchone()
            if place is None:
                return None
            conditions, values = [*conditions, "place < ?"], [*values, *place]
        wanted = " AND ".join(conditions) or "true"
        asked = f"SELECT {_FIELDS} FROM runs WHERE {wanted} ORDER BY place DESC LIMIT ?"  # noqa: S608 - constants and question marks
        rows: list[_Row] = db.execute(asked, (*values, query.limit + 1)).fetchall()
        return RunPage([_record(row) for row in rows[: query.limit]], len(rows) > query.limit)

    def _sealed(self, record: RunRecord) -> bytes | None:
        if record.prompt is None and record.response is None:
            return None
        said = msgspec.json.encode([_within(record.prompt), _within(record.response)])
        return self._seal().encrypt(said, record.id)

    def _opened(self, id_: str, sealed: bytes | None) -> tuple[JSONObject | None, JSONObject | None]:
        said = self._seal().decrypt(sealed, id_) if sealed else None
        asked, answered = msgspec.json.decode(said) if said else (None, None)
        return asked, answered

    def _seal(self) -> Cipher:
        if self._made_seal is None:
            self._made_seal = Cipher.of_file(self._database.path.with_suffix(".key"))
        return self._made_seal


def _conditions(query: RunQuery) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if query.statuses:
        conditions.append(f"status IN ({','.join('?' * len(query.statuses))})")
        values += query.statuses
    wanted = (("instr(model, ?) > 0", query.model), ("client = ?", query.client), ("created >= ?", query.since))
    for condition, value in wanted:
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return conditions, values


def _interrupt(db: sqlite3.Connection, owner: str) -> None:
    """Let runs have failed that were open when their process ended; nobody else will say so."""
    asked = f"SELECT DISTINCT owner FROM runs WHERE {_IS_OPEN} AND owner != ?"  # noqa: S608 - constant
    for (other,) in db.execute(asked, (owner,)).fetchall():
        if ProcessIdentity.parsed(other).process() is None:
            change = f"UPDATE runs SET status = 'failed', error = ? WHERE owner = ? AND {_IS_OPEN}"  # noqa: S608 - constant
            db.execute(change, (INTERRUPTED, other)).close()


def _record(row: _Row) -> RunRecord:
    id_, status, model, client, created, error, rest = row
    others = msgspec.structs.asdict(msgspec.json.decode(rest, type=_Rest))
    return RunRecord(id=id_, status=status, model=model, client=client, created=created, error=error, **others)


def _within(said: JSONObject | None) -> object:
    """What was said, if it is not too large to be kept beside a record."""
    encoded = msgspec.json.encode(said)
    return msgspec.Raw(encoded) if len(encoded) <= _MOST_SAID else {"omitted_bytes": len(encoded)}
