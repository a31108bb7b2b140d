"""A `SharedLimits` in SQL: the ledger, and the counters of limits and budgets."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import inf

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import Period, Rule, Scope, ScopeKind, Unit, Window
from dragoman.limits.table import Ask, Counter, CounterKey, LimitTable, Refusal, RuleState
from dragoman.stores.ledger import Column, LedgerFilter, LedgerRow, LedgerSum, Loan, Tokens
from dragoman.stores.sql.database import Connection, SQLDatabase, SQLStore

_BATCH = 100
"""Rows of one statement: with a statement for each row the thread would wait for the interpreter's lock that often."""
_ADD = "INSERT INTO ledger VALUES {rows} ON CONFLICT (run) DO NOTHING RETURNING run"
_SUMS = "count(*), {}".format(
    ", ".join(
        f"CAST(coalesce(sum({name}), 0) AS BIGINT)"
        for name in ("input", "cache_read", "cache_write", "output", "nanodollars")
    )
)
_COUNTERS = """
SELECT rule, start, used, updated,
    (SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM loans WHERE rule = c.rule AND start = c.start)
FROM counters AS c WHERE rule IN ({rules})
"""
_SAVE_COUNTERS = """
INSERT INTO counters VALUES {rows}
ON CONFLICT (rule, start) DO UPDATE SET used = excluded.used, updated = excluded.updated
"""
_LEND = """
INSERT INTO loans VALUES {rows}
ON CONFLICT (rule, start, worker) DO UPDATE SET amount = loans.amount + excluded.amount
"""
_SAVE_LOANS = """
INSERT INTO loans VALUES {rows}
ON CONFLICT (rule, start, worker) DO UPDATE SET amount = excluded.amount
"""
_LEASE = "INSERT INTO workers VALUES (?, ?) ON CONFLICT (worker) DO UPDATE SET lease = excluded.lease"


class SQLLedger(SQLStore):
    """A `SharedLimits` in a database.

    Args:
        database: The database. It is closed with the ledger.
    """

    runs_until = inf

    def __init__(self, database: SQLDatabase) -> None:
        super().__init__(database)
        self._day = database.syntax.day

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """See `Ledger.add`."""
        return await self._database.write(lambda db: _add(db, rows))

    async def spent(self, filter_: LedgerFilter) -> int:
        """See `Ledger.spent`."""
        [total] = await self.sums(filter_, ())
        return total.nanodollars

    async def sums(self, filter_: LedgerFilter, by: Sequence[Column]) -> Sequence[LedgerSum]:
        """See `Ledger.sums`."""
        return await self._database.read(lambda db: _select_sums(db, filter_, by, self._day))

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """See `SharedLimits.borrow`."""
        return await self._database.write(lambda db: _borrow(db, worker, asks, ms, lease))

    async def sync(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """See `SharedLimits.sync`."""

        def work(db: Connection) -> frozenset[str]:
            added = _add(db, rows)
            _repay(db, worker, repayments, ms)
            db.execute(_LEASE, (worker, lease)).close()
            return added

        return await self._database.write(work)

    async def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """See `SharedLimits.states`."""

        def work(db: Connection) -> list[RuleState]:
            table = LimitTable(_counters(db, rules))
            return [table.state(rule, window, ms) for rule, window in rules]

        return await self._database.read(work) if rules else []

    async def others(self, worker: str) -> Mapping[str, int]:
        """See `SharedLimits.others`."""
        query = "SELECT worker, lease FROM workers WHERE worker != ?"
        return await self._database.read(lambda db: dict(db.execute(query, (worker,)).fetchall()))

    async def remove_worker(self, worker: str, rows: Sequence[LedgerRow]) -> None:
        """See `SharedLimits.remove_worker`."""

        def work(db: Connection) -> None:
            _add(db, rows)
            db.execute("DELETE FROM loans WHERE worker = ?", (worker,)).close()
            db.execute("DELETE FROM workers WHERE worker = ?", (worker,)).close()

        await self._database.write(work)


# The rest runs in the thread of the database.


def _borrow(db: Connection, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
    counters = _counters(db, [(ask.rule, ask.window) for ask in asks])
    table = LimitTable(counters)
    granted = table.lend(asks, ms)
    if isinstance(granted, Refusal):
        return granted
    _save(db, [(ask.rule, ask.window) for ask in asks], counters)
    lent: defaultdict[CounterKey, int] = defaultdict(int)  # a row can be inserted once only
    for ask, amount in zip(asks, granted, strict=True):
        if not ask.rule.is_rate:
            lent[ask.key] += amount
    _insert(db, _LEND, [(*key, worker, amount) for key, amount in lent.items()])
    db.execute(_LEASE, (worker, lease)).close()
    return Loan(granted, [table.state(ask.rule, ask.window, ms) for ask in asks])


def _repay(db: Connection, worker: str, repayments: Sequence[Repayment], ms: int) -> None:
    rates = [one for one in repayments if one.rule.is_rate]
    if rates:
        rules = [(one.rule, one.window) for one in rates]
        counters = _counters(db, rules)
        table = LimitTable(counters)
        for one in rates:
            table.give_back(one.rule, one.window, one.given_back, ms)
        _save(db, rules, counters)
    if len(rates) < len(repayments):
        sql = "SELECT rule, start, amount FROM loans WHERE worker = ?"
        lent = {(rule, start): amount for rule, start, amount in db.execute(sql, (worker,)).fetchall()}
        # One that is missing stays missing: its lease has ended, and the loan has been taken back.
        left = {}
        for one in repayments:
            key = one.rule.name, one.window.start
            if not one.rule.is_rate and key in lent:
                left[key] = lent[key] = max(0, lent[key] - one.charged - one.given_back)
        _insert(db, _SAVE_LOANS, [(*key, worker, amount) for key, amount in left.items()])


def _counters(db: Connection, rules: Sequence[tuple[Rule, Window]]) -> dict[CounterKey, Counter]:
    """Return the counter of each rule in its window. One that is missing is made from the ledger."""
    by_key = {(rule.name, window.start): (rule, window) for rule, window in rules}
    names = [rule.name for rule, _ in rules]
    rows = db.execute(_COUNTERS.format(rules=", ".join("?" * len(names))), names).fetchall()
    found = {(rule, start): Counter(*counts) for rule, start, *counts in rows}
    return {key: found.get(key) or _new_counter(db, rule, window) for key, (rule, window) in by_key.items()}


def _new_counter(db: Connection, rule: Rule, window: Window) -> Counter:
    used = 0
    if rule.unit is Unit.DOLLARS:
        [total] = _select_sums(db, _rows_of(rule.scope, window), ())
        used = total.nanodollars
    sql = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM loans WHERE rule = ? AND start = ?"
    [lent] = db.execute(sql, (rule.name, window.start)).fetchone()
    return Counter(used, 0, lent)


def _save(db: Connection, rules: Sequence[tuple[Rule, Window]], counters: Mapping[CounterKey, Counter]) -> None:
    until = {(rule.name, window.start): window.end for rule, window in rules}
    rows = [(*key, end, counters[key].used, counters[key].updated) for key, end in until.items()]
    _insert(db, _SAVE_COUNTERS, rows)


def _insert(db: Connection, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, many with each statement: between two statements the thread waits for the interpreter's lock."""
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        db.execute(sql.format(rows=_placeholders(batch)), list(chain.from_iterable(batch))).close()


def _placeholders(rows: Sequence[tuple[object, ...]]) -> str:
    return ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))


def _rows_of(scope: Scope, window: Window) -> LedgerFilter:
    named = {ScopeKind.TEAM: "team", ScopeKind.KEY: "key", ScopeKind.UPSTREAM: "upstream"}.get(scope.kind)
    names = {named: scope.name} if named else {}
    return LedgerFilter(since=window.start, until=window.end, model=scope.model, **names)


def _add(db: Connection, rows: Sequence[LedgerRow]) -> frozenset[str]:
    """Insert rows, and charge those that are new to the budgets whose counters exist."""
    added: set[str] = set()
    for first in range(0, len(rows), _BATCH):
        batch = [*map(_values, rows[first : first + _BATCH])]
        sql = _ADD.format(rows=_placeholders(batch))
        added.update(run for (run,) in db.execute(sql, list(chain.from_iterable(batch))).fetchall())
    _charge(db, {row.run: row for row in reversed(rows) if row.run in added}.values())  # of two the first was added
    return frozenset(added)


def _charge(db: Connection, rows: Iterable[LedgerRow]) -> None:
    alike: defaultdict[tuple[str, ...], list[LedgerRow]] = defaultdict(list)
    for row in rows:
        if row.nanodollars:
            alike[row.key, row.team, row.model, row.upstream].append(row)
    spent: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for group in alike.values():
        for scope in group[0].scopes():
            for period in Period:
                spent[f"{scope} {Unit.DOLLARS}/{period}"] += group
    names = list(spent)
    for first in range(0, len(names), _BATCH):
        rules = names[first : first + _BATCH]
        sql = f"SELECT rule, start, until, used, updated FROM counters WHERE rule IN ({', '.join('?' * len(rules))})"  # noqa: S608 - question marks
        charged = []
        for rule, start, until, used, updated in db.execute(sql, rules).fetchall():
            if amount := sum(row.nanodollars for row in spent[rule] if start <= row.began < until):
                charged.append((rule, start, until, used + amount, updated))
        _insert(db, _SAVE_COUNTERS, charged)


def _values(row: LedgerRow) -> tuple[object, ...]:
    tokens = row.tokens
    return (
        *(row.run, row.began, row.key, row.team, row.model, row.upstream, row.status),
        *(tokens.input, tokens.cache_read, tokens.cache_write, tokens.output, row.nanodollars),
    )


def _select_sums(db: Connection, filter_: LedgerFilter, by: Sequence[Column], day: str = "") -> list[LedgerSum]:
    conditions = {
        "began >= ?": filter_.since,
        "began < ?": filter_.until,
        "key = ?": filter_.key,
        "team = ?": filter_.team,
        "model = ?": filter_.model,
        "upstream = ?": filter_.upstream,
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    groups = [day if name == "day" else name for name in by]
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


def failed(place: str, error: Exception) -> StoreFailed:
    """Log why the database cannot be used, and return what clients learn of it."""
    log.warning("ledger.store_broke", path=place, error=str(error))
    return StoreFailed(
        "The ledger of limits and budgets cannot be used now. The gateway's log has the reason.", retry_after=5
    )
