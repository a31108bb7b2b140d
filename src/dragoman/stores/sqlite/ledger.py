"""A `Ledger` in an SQLite file."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from dragoman.stores.ledger import Column, LedgerFilter, LedgerRow, LedgerSum, Tokens
from dragoman.stores.sqlite.database import Database

_MIGRATIONS = (
    (
        """
        CREATE TABLE ledger (
            run TEXT NOT NULL,
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
            nanodollars INTEGER NOT NULL,
            PRIMARY KEY (run, upstream)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX ledger_began ON ledger (began)",
        # Append-only, for every program that opens the file.
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'append-only'); END",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'append-only'); END",
    ),
)
_COLUMNS = 12
_ROWS_PER_STATEMENT = 100
_ADD = "INSERT INTO ledger VALUES {rows} ON CONFLICT (run, upstream) DO NOTHING RETURNING run"
_SUMS = "count(DISTINCT run), {}".format(
    ", ".join(f"coalesce(sum({name}), 0)" for name in ("input", "cache_read", "cache_write", "output", "nanodollars"))
)
_GROUPS = {"day": "date(began, 'unixepoch')"}
"""Columns of a report that are not columns of the table."""


class SQLiteLedger:
    """A `Ledger` of one machine. Several processes may share the file.

    Args:
        path: The file, readable by its owner only.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _MIGRATIONS)

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """See `Ledger.add`."""
        return await self._database.write(lambda db: frozenset(_add(db, rows)))

    async def spent(self, filter_: LedgerFilter) -> int:
        """See `Ledger.spent`."""
        [total] = await self.sums(filter_, ())
        return total.nanodollars

    async def sums(self, filter_: LedgerFilter, by: Sequence[Column]) -> Sequence[LedgerSum]:
        """See `Ledger.sums`."""
        return await self._database.read(lambda db: _select_sums(db, filter_, by))

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""
        await self._database.aclose()


def _add(db: sqlite3.Connection, rows: Sequence[LedgerRow]) -> list[str]:
    added: list[str] = []
    for first in range(0, len(rows), _ROWS_PER_STATEMENT):
        values = [_values(row) for row in rows[first : first + _ROWS_PER_STATEMENT]]
        placeholders = ", ".join([f"({', '.join('?' * _COLUMNS)})"] * len(values))
        added += (run for (run,) in db.execute(_ADD.format(rows=placeholders), list(chain(*values))).fetchall())
    return added


def _values(row: LedgerRow) -> tuple[object, ...]:
    tokens = row.tokens
    return (
        *(row.run, row.began, row.key, row.team, row.model, row.upstream, row.status),
        *(tokens.input, tokens.cache_read, tokens.cache_write, tokens.output, row.nanodollars),
    )


def _select_sums(db: sqlite3.Connection, filter_: LedgerFilter, by: Sequence[Column]) -> list[LedgerSum]:
    conditions = {
        "began >= ?": filter_.since,
        "began < ?": filter_.until,
        "key = ?": filter_.key,
        "team = ?": filter_.team,
        "model = ?": filter_.model,
        "upstream = ?": filter_.upstream,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    groups = [_GROUPS.get(name, name) for name in by]
    sql = f"SELECT {', '.join([*groups, _SUMS])} FROM ledger WHERE {' AND '.join(given) or 'true'}"  # noqa: S608 - constants and question marks
    if groups:
        sql += f" GROUP BY {', '.join(groups)} ORDER BY sum(nanodollars) DESC, {', '.join(groups)}"
    found = []
    for row in db.execute(sql, list(given.values())).fetchall():
        runs, input_, cache_read, cache_write, output, nanodollars = row[len(groups) :]
        tokens = Tokens(input=input_, cache_read=cache_read, cache_write=cache_write, output=output)
        values = dict(zip(by, row, strict=False))
        found.append(LedgerSum(by=values, runs=runs, tokens=tokens, nanodollars=nanodollars))
    return found
