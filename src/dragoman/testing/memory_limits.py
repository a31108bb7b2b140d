"""A `SharedLimits` in memory: the shortest engine that passes the suite, for tests and as a model for others."""

from collections import Counter as Sums
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf

from dragoman.core.errors import StoreFailed
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import Rule, Unit, Window
from dragoman.limits.table import Ask, Counter, CounterKey, LimitTable, Refusal, RuleState
from dragoman.stores.ledger import Column, LedgerFilter, LedgerRow, LedgerSum, Loan, Tokens


class MemoryLimits:
    """A `SharedLimits` of one process.

    Attributes:
        rows: The rows of the ledger, by run.
        loans: What each worker has borrowed.
        away: Whether every call fails, as if the database were not there.
    """

    runs_until = inf

    def __init__(self) -> None:
        self.rows: dict[str, LedgerRow] = {}
        self.loans: Sums[tuple[str, CounterKey]] = Sums()
        self.away = False
        self._leases: dict[str, int] = {}
        self._buckets: dict[str, Counter] = {}

    # The calls, without `async`: for state machines.

    def borrow_now(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """See `SharedLimits.borrow`."""
        self._check()
        table = self._table([(ask.rule, ask.window) for ask in asks])
        granted = table.lend(asks, ms)
        if isinstance(granted, Refusal):
            return granted
        for ask, amount in zip(asks, granted, strict=True):
            if not ask.rule.is_rate:
                self.loans[worker, ask.key] += amount
        self._leases[worker] = lease
        return Loan(granted, [table.state(ask.rule, ask.window, ms) for ask in asks])

    def sync_now(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """See `SharedLimits.sync`."""
        self._check()
        added = frozenset(row.run for row in rows if row.run not in self.rows)
        for row in rows:
            self.rows.setdefault(row.run, row)
        for one in repayments:
            key = one.rule.name, one.window.start
            if one.rule.is_rate:
                self._table([(one.rule, one.window)]).give_back(one.rule, one.window, one.given_back, ms)
            else:
                self.loans[worker, key] = max(0, self.loans[worker, key] - one.charged - one.given_back)
        self._leases[worker] = lease
        return added

    def states_now(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> list[RuleState]:
        """See `SharedLimits.states`."""
        self._check()
        table = self._table(rules)
        return [table.state(rule, window, ms) for rule, window in rules]

    def remove_worker_now(self, worker: str, rows: Sequence[LedgerRow]) -> None:
        """See `SharedLimits.remove_worker`."""
        self.sync_now(worker, rows, (), 0, 0)
        del self._leases[worker]
        self.loans = Sums({key: amount for key, amount in self.loans.items() if key[0] != worker})

    # The protocol.

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """See `SharedLimits.borrow`."""
        return self.borrow_now(worker, asks, ms, lease)

    async def sync(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """See `SharedLimits.sync`."""
        return self.sync_now(worker, rows, repayments, ms, lease)

    async def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """See `SharedLimits.states`."""
        return self.states_now(rules, ms)

    async def others(self, worker: str) -> Mapping[str, int]:
        """See `SharedLimits.others`."""
        self._check()
        return {name: lease for name, lease in self._leases.items() if name != worker}

    async def remove_worker(self, worker: str, rows: Sequence[LedgerRow]) -> None:
        """See `SharedLimits.remove_worker`."""
        self.remove_worker_now(worker, rows)

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """See `Ledger.add`."""
        self._check()
        added = frozenset(row.run for row in rows if row.run not in self.rows)
        for row in rows:
            self.rows.setdefault(row.run, row)
        return added

    async def spent(self, filter_: LedgerFilter) -> int:
        """See `Ledger.spent`."""
        self._check()
        return sum(row.nanodollars for row in self.rows.values() if _matches(row, filter_))

    async def sums(self, filter_: LedgerFilter, by: Sequence[Column]) -> Sequence[LedgerSum]:
        """See `Ledger.sums`."""
        self._check()
        groups: dict[tuple[str, ...], list[LedgerRow]] = {} if by else {(): []}
        for row in self.rows.values():
            if _matches(row, filter_):
                groups.setdefault(tuple(_VALUES[name](row) for name in by), []).append(row)
        sums = [_sum_of(dict(zip(by, values, strict=True)), rows) for values, rows in groups.items()]
        return sorted(sums, key=lambda one: -one.nanodollars)

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""

    def _check(self) -> None:
        if self.away:
            raise StoreFailed("The database is away.")

    def _table(self, rules: Sequence[tuple[Rule, Window]]) -> LimitTable:
        """Return the counters of rules. Those of budgets are sums of the ledger, those of buckets are kept."""
        counters = {}
        for rule, window in rules:
            key = rule.name, window.start
            if rule.is_rate:
                counters[key] = self._buckets.setdefault(rule.name, Counter())
                continue
            spent = sum(
                row.nanodollars
                for row in self.rows.values()
                if rule.unit is Unit.DOLLARS and window.start <= row.began < window.end and rule.scope in row.scopes()
            )
            lent = sum(amount for (_, name), amount in self.loans.items() if name == key)
            counters[key] = Counter(spent, 0, lent)
        return LimitTable(counters)


_VALUES: Mapping[Column, Callable[[LedgerRow], str]] = {
    "key": lambda row: row.key,
    "team": lambda row: row.team,
    "model": lambda row: row.model,
    "upstream": lambda row: row.upstream,
    "status": lambda row: row.status,
    "day": lambda row: datetime.fromtimestamp(row.began, UTC).date().isoformat(),
}


def _matches(row: LedgerRow, filter_: LedgerFilter) -> bool:
    names = ("key", "team", "model", "upstream")
    return (
        (filter_.since is None or row.began >= filter_.since)
        and (filter_.until is None or row.began < filter_.until)
        and all(getattr(filter_, name) in {None, getattr(row, name)} for name in names)
    )


def _sum_of(by: Mapping[str, str], rows: Sequence[LedgerRow]) -> LedgerSum:
    tokens = Tokens(
        input=sum(row.tokens.input for row in rows),
        cache_read=sum(row.tokens.cache_read for row in rows),
        cache_write=sum(row.tokens.cache_write for row in rows),
        output=sum(row.tokens.output for row in rows),
    )
    return LedgerSum(by=by, runs=len(rows), tokens=tokens, nanodollars=sum(row.nanodollars for row in rows))
