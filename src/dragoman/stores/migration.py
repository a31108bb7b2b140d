"""Copies the state of one machine to the stores of many nodes.

Tables are copied in batches, each in one transaction, and rows that the target has already are left as they are. So the
copy can be interrupted and repeated at any time, and the target may be in use. The source is only read, apart from the
update of files of an older version. Encrypted values are encrypted with the key of the target.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

from dragoman.core.value_object import value_object
from dragoman.stores.ledger import Ledger, LedgerRow, Tokens
from dragoman.stores.outbox import read_left_behind
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore
from dragoman.stores.sql.stores import Stores
from dragoman.stores.sqlite.spending import read_spending

_BATCH = 200
"""Rows of one transaction. A stored response may be large."""
_UNLIMITED = 10**9

_Row: TypeAlias = tuple[Any, ...]


@value_object(kw_only=True)
class _Table:
    """How one table is copied.

    Attributes:
        name: What the rows are, for people.
        source: The columns and the table to read.
        key: The columns that the rows are ordered by. No two rows have the same.
        insert: Adds a row to the target if it is not there.
        repeated: How often the values of a row are given to `insert`.
        encrypted: The columns of the name and of the value that is encrypted under that name.
    """

    name: str
    source: str
    key: tuple[str, ...]
    insert: str
    repeated: int = 1
    encrypted: tuple[int, int] | None = None


_ACCESS = (
    _Table(
        name="keys",
        source="name, record FROM keys",
        key=("name",),
        insert="INSERT INTO keys (name, record) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
    ),
    _Table(
        name="teams",
        source="name, record FROM teams",
        key=("name",),
        insert="INSERT INTO teams (name, record) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
    ),
    _Table(
        name="entries of the audit log",
        source="entry FROM audit",
        key=("number",),
        insert="INSERT INTO audit (entry) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM audit WHERE entry = ?)",
        repeated=2,
    ),
)
_THINKING = (
    _Table(
        name="parts of kept thinking",
        source="name, value, until FROM kept",
        key=("name",),
        insert="INSERT INTO kept (name, value, until) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        encrypted=(0, 1),
    ),
)
_RECORDINGS = (
    _Table(
        name="responses for repeated requests",
        source="name, owner, request, producer, created, size, response FROM recordings",
        key=("name",),
        insert="INSERT INTO recordings (name, owner, request, producer, created, size, response) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        encrypted=(0, 6),
    ),
)
_RESPONSES = (
    _Table(
        name="stored responses",
        source="id, owner, kind, model, created, parent, labels, until, holder, lease, body FROM entries",
        key=("place",),
        insert="INSERT INTO entries (id, owner, kind, model, created, parent, labels, until, holder, lease, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    ),
    _Table(
        name="events of stored responses",
        source="id, number, data FROM events",
        key=("id", "number"),
        insert="INSERT INTO events (id, number, data) VALUES (?, ?, ?) ON CONFLICT (id, number) DO NOTHING",
    ),
)
_RUNS = (
    _Table(
        name="records of runs",
        source="id, status, model, client, created, error, owner, rest, said FROM runs",
        key=("place",),
        insert="INSERT INTO runs (id, status, model, client, created, error, owner, rest, said) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        encrypted=(0, 8),
    ),
)
_LEDGER = (
    "run, began, key, team, model, upstream, status, input, cache_read, cache_write, output, nanodollars FROM ledger"
)
_LEDGER_KEY = ("began", "run")


@value_object
class Copied:
    """What was copied of one kind.

    Attributes:
        name: What it is.
        found: How many there were.
        added: How many the target did not have.
    """

    name: str
    found: int
    added: int


async def copy_state(source: Stores, target: Stores, directory: Path) -> AsyncGenerator[Copied, None]:
    """Copy all that is stored. Yield each kind when it is copied.

    Args:
        source: The stores of one machine, whose gateways have stopped.
        target: The stores of many nodes.
        directory: The state directory of the source.

    Raises:
        StoreFailed: A store cannot be used. What was copied before is stored.
    """
    opened: Sequence[tuple[Callable[[Stores], SQLStore], Sequence[_Table]]] = (
        (lambda stores: stores.access(), _ACCESS),
        (lambda stores: stores.responses(), _RESPONSES),
        (lambda stores: stores.runs(ttl=_UNLIMITED, entries=_UNLIMITED), _RUNS),
        (lambda stores: stores.key_values(ttl=_UNLIMITED, entries=_UNLIMITED), _THINKING),
        (lambda stores: stores.recordings(ttl=_UNLIMITED, size=_UNLIMITED), _RECORDINGS),
    )
    for open_store, tables in opened:
        async with aclosing(open_store(source)) as old, aclosing(open_store(target)) as new:
            for table in tables:
                yield await _copy_table(old.database, new.database, table)
    async with aclosing(source.ledger()) as old_ledger, aclosing(target.ledger()) as new_ledger:
        # First what older versions and killed processes have not added to the ledger themselves.
        rows = [*read_spending(directory / "budgets.db")]
        for left in read_left_behind(directory / "outbox").values():
            rows += left
        found, added = len(rows), await _add(new_ledger, rows)
        async for batch in _batches(old_ledger.database, _LEDGER, _LEDGER_KEY):
            found += len(batch)
            added += await _add(new_ledger, list(map(_ledger_row, batch)))
        yield Copied("rows of the ledger", found, added)


async def _copy_table(old: SQLDatabase, new: SQLDatabase, table: _Table) -> Copied:
    found = added = 0
    async for batch in _batches(old, table.source, table.key):
        rows = [_encrypted_again(row, table, old, new) * table.repeated for row in batch]

        def work(db: Connection, rows: Sequence[_Row] = rows) -> int:
            count = 0
            for row in rows:
                cursor = db.execute(table.insert, row)
                count += cursor.rowcount
                cursor.close()
            return count

        found += len(rows)
        added += await new.write(work)
    return Copied(table.name, found, added)


async def _batches(database: SQLDatabase, source: str, key: Sequence[str]) -> AsyncIterator[Sequence[_Row]]:
    """Yield the rows of a table in the order of their keys. Each batch is found by the last key of the one before."""
    if not database.exists():
        return
    columns, places = ", ".join(key), ", ".join("?" * len(key))
    rest = f"ORDER BY {columns} LIMIT {_BATCH}"
    last: _Row = ()
    while True:

        def work(db: Connection, last: _Row = last) -> Sequence[_Row]:
            after = f"WHERE ({columns}) > ({places})" if last else ""
            return db.execute(f"SELECT {columns}, {source} {after} {rest}", last).fetchall()

        batch = await database.read(work)
        if not batch:
            return
        yield [row[len(key) :] for row in batch]
        last = batch[-1][: len(key)]


def _encrypted_again(row: _Row, table: _Table, old: SQLDatabase, new: SQLDatabase) -> _Row:
    """Return a row with its value encrypted for the target. A value that cannot be read stays so."""
    if table.encrypted is None or row[table.encrypted[1]] is None:
        return row
    name, column = row[table.encrypted[0]], table.encrypted[1]
    value = old.cipher().decrypt(row[column], name)
    if value is None:
        return row
    return (*row[:column], new.cipher().encrypt(value, name), *row[column + 1 :])


async def _add(ledger: Ledger, rows: Sequence[LedgerRow]) -> int:
    return len(await ledger.add(rows)) if rows else 0


def _ledger_row(row: _Row) -> LedgerRow:
    run, began, key, team, model, upstream, status, input_, cache_read, cache_write, output, nanodollars = row
    tokens = Tokens(input=input_, cache_read=cache_read, cache_write=cache_write, output=output)
    return LedgerRow(
        run=run,
        began=began,
        key=key,
        team=team,
        model=model,
        upstream=upstream,
        status=status,
        tokens=tokens,
        nanodollars=nanodollars,
    )
