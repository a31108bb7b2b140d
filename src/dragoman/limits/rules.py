"""The rules of limits and budgets: the scope of a rule, what it counts, and how much it allows.

All amounts are integers: requests, tokens, runs, and nanodollars (billionths of a dollar). The list price of one token
is a whole number of nanodollars for every model, but not of microdollars: those would need rounding for each token. A
factor may leave a fraction (calls that must stay in the US cost 1.1 times as much): the cost of a call is rounded up.
An integer of 64 bits holds nine billion dollars, and a double, as Redis computes with, nine million.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from dragoman.core.value_object import value_object

NANODOLLARS = 10**9
"""Nanodollars in a dollar."""

MS_PER_MINUTE = 60_000


class Unit(StrEnum):
    """What a rule counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    RUNS = "runs"
    DOLLARS = "dollars"


class Period(StrEnum):
    """The calendar period of a budget."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ScopeKind(StrEnum):
    """The kind of a scope."""

    GATEWAY = "gateway"
    TEAM = "team"
    KEY = "key"
    UPSTREAM = "upstream"


@value_object
class Scope:
    """The runs that a rule covers: those of the gateway, a team, a key or an upstream, with all models or with one.

    Attributes:
        kind: The kind.
        name: The name of the team, key or upstream; "" for the gateway.
        model: The id of the model; None: all models together.
    """

    kind: ScopeKind
    name: str = ""
    model: str | None = None

    def __str__(self) -> str:
        """Return the scope as it is shown to people and stored."""
        scope = f"{self.kind}:{self.name}" if self.name else str(self.kind)
        return f"{scope}/{self.model}" if self.model else scope


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit or budget.

    Attributes:
        scope: The runs that it covers.
        unit: What it counts. Requests and tokens are limited per minute, runs at any time, dollars per period.
        amount: How much it allows, in the unit (dollars: nanodollars).
        period: The period of a budget; None for all other units.
        name: The name of the rule as it is stored. The amount may change without a new name.
        is_rate: Whether it limits what is used in a minute.
    """

    scope: Scope
    unit: Unit
    amount: int
    period: Period | None = None
    name: str = field(init=False)
    is_rate: bool = field(init=False)

    def __post_init__(self) -> None:
        """Compute what every reservation reads."""
        object.__setattr__(self, "name", f"{self.scope} {self.unit}{f'/{self.period}' if self.period else ''}")
        object.__setattr__(self, "is_rate", self.unit in {Unit.REQUESTS, Unit.TOKENS})

    def __str__(self) -> str:
        """Return the name."""
        return self.name


@value_object
class Window:
    """One period of a budget in the calendar.

    Attributes:
        start: Seconds since 1970.
        end: Seconds since 1970. The next window begins then.
    """

    start: int
    end: int


ALWAYS = Window(0, 0)
"""The window of rules that have no period."""


def window_at(period: Period, now: float, zone: tzinfo = UTC) -> Window:
    """Return the window that contains a time.

    Args:
        period: The period. Weeks begin on Monday.
        now: Seconds since 1970.
        zone: The time zone of the calendar. Days with a clock change are 23 or 25 hours long.
    """
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period is Period.DAY:
        first, after = midnight, midnight + timedelta(days=1)
    elif period is Period.WEEK:
        first = midnight - timedelta(days=midnight.weekday())
        after = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return Window(int(first.timestamp()), int(after.timestamp()))
