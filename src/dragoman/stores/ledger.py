"""The ledger: what each run that has ended used and cost. Budgets and usage reports are its sums."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from dragoman.core.value_object import value_object
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import Rule, Scope, ScopeKind, Window
from dragoman.limits.table import Ask, Refusal, RuleState

Column: TypeAlias = Literal["key", "team", "model", "upstream", "status", "day"]
"""What the sums of a report may be grouped by. Days are those of UTC."""


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens of one or more calls of the API, by what they cost.

    Attributes:
        input: Input that was neither read from the cache nor written to it.
        cache_read: Input read from the cache.
        cache_write: Input written to the cache.
        output: Output, thinking included.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.cache_read + self.cache_write + self.output


class LedgerRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one run used and cost.

    Attributes:
        run: The id of the run, unique in the ledger.
        began: Seconds since 1970. A run is charged to the period in which it began.
        key: The name of the client's key.
        team: The team of the key; "" if it has none.
        model: The id of the model.
        upstream: The name of the upstream; "" if there is only one.
        status: How the run ended.
        tokens: What it used.
        nanodollars: What it cost, in billionths of a dollar.
    """

    run: str
    began: float
    key: str = ""
    team: str = ""
    model: str = ""
    upstream: str = ""
    status: str = "succeeded"
    tokens: Tokens = Tokens()
    nanodollars: int = 0

    def scopes(self) -> Iterator[Scope]:
        """Yield the scopes whose budgets the run is charged to."""
        named = ((ScopeKind.GATEWAY, ""), (ScopeKind.TEAM, self.team), (ScopeKind.KEY, self.key))
        for kind, name in named:
            if name or kind is ScopeKind.GATEWAY:
                yield Scope(kind, name)
                yield Scope(kind, name, self.model)
        if self.upstream:
            yield Scope(ScopeKind.UPSTREAM, self.upstream)


@value_object(kw_only=True)
class LedgerFilter:
    """Selects rows. None selects all.

    Attributes:
        since: Runs that began at this time or later, in seconds since 1970.
        until: Runs that began before this time.
        key: Runs of this client key.
        team: Runs of the keys of this team.
        model: Runs of this model.
        upstream: Runs on this upstream.
    """

    since: float | None = None
    until: float | None = None
    key: str | None = None
    team: str | None = None
    model: str | None = None
    upstream: str | None = None


@value_object(kw_only=True)
class LedgerSum:
    """The sum of some rows.

    Attributes:
        by: The values of the columns that the report is grouped by.
        runs: The number of runs.
        tokens: What they used.
        nanodollars: What they cost.
    """

    by: Mapping[str, str]
    runs: int
    tokens: Tokens
    nanodollars: int


@value_object
class Loan:
    """What a worker has borrowed.

    Attributes:
        granted: What it got for each ask.
        states: What is left of each rule then.
    """

    granted: Sequence[int]
    states: Sequence[RuleState]


class Ledger(Protocol):
    """Stores what runs used and cost, append-only. Sums are exact.

    Safe to use from many tasks, and from many processes if the implementation says so. A later call sees every row of a
    call that has returned, and a crash of the process does not lose it. Cancelling a call leaves it consistent.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """Store rows: all or none. A row whose run is stored already changes nothing.

        Returns:
            The runs of the rows that were not stored before.
        """
        ...

    async def spent(self, filter_: LedgerFilter) -> int:
        """Return the sum of the cost of rows, in nanodollars."""
        ...

    async def sums(self, filter_: LedgerFilter, by: Sequence[Column]) -> Sequence[LedgerSum]:
        """Return sums by the values of columns, the most expensive first; without columns one sum of all rows."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...


class SharedLimits(Ledger, Protocol):
    """A ledger with the counters of limits and budgets, which all workers share.

    The counters are those of `dragoman.limits.table.LimitTable`. A counter of a budget that is missing is the sum of
    its window in the ledger: counters may be lost, rows never. Each call takes effect completely or not at all.

    Times are milliseconds of a clock that all workers share and that is never set. What a worker has borrowed is lent
    until its lease ends.
    """

    @property
    def runs_until(self) -> float:
        """The time until which the runs that are lent may be started: infinity if that is until the lease ends.

        It is earlier if they are not in the ledger, and where they are cannot be reached.
        """
        ...

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """Lend a worker an amount under every rule, or nothing at all.

        Args:
            worker: The worker.
            asks: What it asks for, each rule and window once.
            ms: The time.
            lease: When its lease ends.
        """
        ...

    async def sync(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """Add rows, charge them to the budgets of their scopes, and take repayments, in one transaction.

        Returns:
            As `add`.
        """
        ...

    async def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """Return what is left of each rule. It lends nothing."""
        ...

    async def others(self, worker: str) -> Mapping[str, int]:
        """Return the workers that have borrowed something, without the given one, and when their leases end."""
        ...

    async def remove_worker(self, worker: str, rows: Sequence[LedgerRow]) -> None:
        """Take back all that a worker has borrowed that is gone, and add the rows that it has left."""
        ...
