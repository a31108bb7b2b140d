"""How limits and budgets are written: `20usd/month`, `200k`; and the rules that they make for a scope."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from msgspec import Struct

from dragoman.limits.rules import NANODOLLARS, Period, Rule, Scope, ScopeKind, Unit

_BUDGET = re.compile(r"\$?\s*(\d+(?:\.\d{1,9})?)\s*(?:usd|dollars?)?\s*(?:/|per)\s*(day|week|month)", re.IGNORECASE)
_COUNT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([km]?)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1_000, "m": 1_000_000}
_MAX_NANODOLLARS = 10**9 * NANODOLLARS


class Limits(Struct, frozen=True, omit_defaults=True):
    """The limits and budgets of a scope.

    Attributes:
        rpm: Requests per minute; None: no limit.
        tpm: Tokens per minute.
        concurrency: Runs at once.
        budgets: Budgets, as they are written: `20usd/month`. One for each period.
        models: Limits and budgets for single models, in addition, by the model's id.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budgets: tuple[str, ...] = ()
    models: Mapping[str, "Limits"] = {}

    def rules(self, kind: ScopeKind, name: str, model: str) -> Iterator[Rule]:
        """Yield the rules for runs of a model."""
        yield from self.own_rules(Scope(kind, name))
        if inner := self.models.get(model):
            yield from inner.own_rules(Scope(kind, name, model))

    def all_rules(self, kind: ScopeKind, name: str) -> Iterator[Rule]:
        """Yield the rules for all models."""
        yield from self.own_rules(Scope(kind, name))
        for model, inner in self.models.items():
            yield from inner.own_rules(Scope(kind, name, model))

    def own_rules(self, scope: Scope) -> Iterator[Rule]:
        """Yield the rules of one scope, without those for single models in it."""
        for unit, amount in ((Unit.REQUESTS, self.rpm), (Unit.TOKENS, self.tpm), (Unit.RUNS, self.concurrency)):
            if amount is not None:
                yield Rule(scope, unit, amount)
        for text in self.budgets:
            amount, period = parse_budget(text)
            yield Rule(scope, Unit.DOLLARS, amount, period)


NO_LIMITS = Limits()


def parse_budget(text: str) -> tuple[int, Period]:
    """Return a budget in nanodollars, and its period.

    Raises:
        ValueError: The text is not a budget. The text of the error says how to write one.
    """
    if (match := _BUDGET.fullmatch(text.strip())) is None:
        raise ValueError(f"`{text[:40]}` is not a budget: write 20usd/month, 2.50usd/week or 1usd/day")
    amount = int(Decimal(match[1]) * NANODOLLARS)
    if amount > _MAX_NANODOLLARS:
        raise ValueError(f"`{text[:40]}` is too large for a budget: at most a billion dollars")
    return amount, Period(match[2].lower())


def parse_count(text: str) -> int:
    """Return a number that may be written with `k` or `m`.

    Raises:
        ValueError: The text is not a number of at least 1.
    """
    match = _COUNT.fullmatch(text.strip())
    count = int(Decimal(match[1]) * _FACTORS[match[2].lower()]) if match else 0
    if count < 1:
        raise ValueError(f"`{text[:40]}` is not a number of at least 1: write 60, 200k or 1.5m")
    return count


def check_budgets(budgets: tuple[str, ...]) -> tuple[str, ...]:
    """Return budgets if each can be read and each period occurs once.

    Raises:
        ValueError: One cannot, or a period occurs twice.
    """
    periods = [parse_budget(text)[1] for text in budgets]
    if twice := next((period for period in periods if periods.count(period) > 1), None):
        raise ValueError(f"there are two budgets for each {twice}")
    return budgets


def dollars(nanodollars: int) -> str:
    """Return an amount as it is shown: `$5.00`, with more decimals where they matter."""
    exact = Decimal(nanodollars) / NANODOLLARS
    shown = exact.quantize(Decimal("0.01"))
    return f"${shown}" if shown == exact else f"${exact.quantize(Decimal('0.000001'))}"
