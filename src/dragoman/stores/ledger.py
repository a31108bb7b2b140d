"""The ledger: what each run that has ended used and cost. Budgets and usage reports are its sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Column: TypeAlias = Literal["key", "team", "model", "upstream", "status", "day"]
"""What the sums of a report may be grouped by. Days are those of UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """What one run used and cost, on one upstream. A run that was tried on several has a row for each.

    Attributes:
        run: The id of the run. With the upstream it is unique in the ledger.
        began: Seconds since 1970. A run is charged to the period in which it began.
        key: The name of the client key; "" without keys.
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
    tokens: Tokens = field(default_factory=Tokens)
    nanodollars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFilter:
    """Selects rows. A field that is None selects all.

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


@dataclass(frozen=True, slots=True, kw_only=True)
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


class Ledger(Protocol):
    """Stores what runs used and cost, append-only. Sums are exact.

    Safe to use from many tasks, and from many processes if the implementation says so. A later call sees every row of a
    call that has returned, and a crash of the process does not lose it. Cancelling a call leaves it consistent.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """Store rows: all or none. A row whose run and upstream are stored already changes nothing.

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
