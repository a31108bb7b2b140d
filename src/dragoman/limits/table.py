"""The state machine of limits and budgets: what is used, what is lent to workers, and whether more can be lent.

A worker is a process that admits runs. It borrows an amount under every rule that covers a run: of all rules, or of
none. It reserves, out of what it has borrowed, an upper bound of what each run may use; see `dragoman.limits.pools`. At
any time, what is used + what is lent <= the amount of the rule.

Requests and tokens per minute are token buckets: a bucket holds the amount of a minute and is refilled evenly. What is
lent of a bucket is taken out of it. A loan of a budget or of a limit on runs belongs to its worker until the worker
gives it back or is gone.

Every engine applies this table to its own storage: `dragoman.stores.sql.ledger` in one transaction.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dragoman.core.value_object import value_object
from dragoman.limits.rules import MS_PER_MINUTE, Rule, Unit, Window

CounterKey: TypeAlias = tuple[str, int]
"""The name of a rule, and the start of a window."""

SKEW_MS = 1000
"""Milliseconds by which a worker's clock may be behind. What was refilled until now is not refilled once more then."""
MAX_SHARE = 8
"""A worker gets at most this part of what is left, unless a run needs more: the others need some, too."""


@dataclass(slots=True)
class Counter:
    """The state of one rule in one window.

    Attributes:
        used: Of a budget, nanodollars spent. Of a bucket, what is missing in it, in units times `MS_PER_MINUTE`: it is
            refilled by the rule's amount each millisecond.
        updated: When `used` was computed for a bucket, in milliseconds of a clock that is never set.
        lent: What workers have borrowed of a budget or of a limit on runs, and have neither charged nor given back.
    """

    used: int = 0
    updated: int = 0
    lent: int = 0


@value_object
class Ask:
    """What a worker asks for under one rule.

    Attributes:
        rule: The rule.
        window: The current window of a budget, else `ALWAYS`.
        needed: What a run needs.
        desired: What the worker would like to get, for the next runs.
    """

    rule: Rule
    window: Window
    needed: int
    desired: int

    @property
    def key(self) -> CounterKey:
        """The key of the counter."""
        return self.rule.name, self.window.start


@value_object
class RuleState:
    """What is left of one rule.

    Attributes:
        rule: The rule.
        window: The window of a budget, else `ALWAYS`.
        used: What is used: spent in the window, or taken out of the bucket.
        held: What is lent of a budget or of a limit on runs.
        remaining: What can still be lent; at least 0.
    """

    rule: Rule
    window: Window
    used: int
    held: int
    remaining: int


@value_object
class Refusal:
    """Why nothing was lent.

    Attributes:
        state: The state of the first rule that refused.
        needed: What the run needed under it.
        retry_after: Seconds until a bucket holds that much. None for other rules: when runs end, or in the next window.
    """

    state: RuleState
    needed: int
    retry_after: float | None = None

    @property
    def is_spent(self) -> bool:
        """Whether it is a budget that does not suffice even when all other runs end without any cost."""
        state = self.state
        return state.rule.unit is Unit.DOLLARS and state.used + self.needed > state.rule.amount


class LimitTable:
    """Decides for the rules whose counters it has. It does no I/O and knows no clock.

    Args:
        counters: The counters, by key. A counter that is missing is new: nothing is used.
    """

    def __init__(self, counters: MutableMapping[CounterKey, Counter]) -> None:
        self._counters = counters

    def lend(self, asks: Sequence[Ask], ms: int) -> list[int] | Refusal:
        """Lend an amount under every rule, or nothing at all.

        Args:
            asks: What is asked for, each rule and window once.
            ms: The time, in milliseconds of a clock that is never set.

        Returns:
            What is lent for each ask: what is needed or more; or the refusal of the first rule that refuses.
        """
        granted = []
        for ask in asks:
            state = self.state(ask.rule, ask.window, ms)
            if ask.needed > state.remaining:
                return Refusal(state, ask.needed, self._wait(ask, ms))
            granted.append(min(ask.desired, max(ask.needed, state.remaining // MAX_SHARE)))
        for ask, amount in zip(asks, granted, strict=True):
            self._take(ask.rule, ask.key, amount)
        return granted

    def give_back(self, rule: Rule, window: Window, amount: int, ms: int) -> None:
        """Take back what a worker has borrowed and not used. Negative: a run used more than it had reserved."""
        if rule.is_rate:
            self._refilled(rule, ms)
        self._take(rule, (rule.name, window.start), -amount)

    def charge(self, rule: Rule, window: Window, spent: int, borrowed: int) -> None:
        """Charge a budget.

        Args:
            rule: The budget.
            window: The window in which the runs began.
            spent: What the runs have cost.
            borrowed: How much of it was borrowed: all, unless a run cost more than it had reserved.
        """
        counter = self._counter((rule.name, window.start))
        counter.used += spent
        counter.lent -= borrowed

    def state(self, rule: Rule, window: Window, ms: int) -> RuleState:
        """Return what is left of a rule."""
        if rule.is_rate:
            used = -(-self._refilled(rule, ms).used // MS_PER_MINUTE)
            return RuleState(rule, window, used, 0, max(0, rule.amount - used))
        counter = self._counter((rule.name, window.start))
        return RuleState(rule, window, counter.used, counter.lent, max(0, rule.amount - counter.used - counter.lent))

    def _wait(self, ask: Ask, ms: int) -> float | None:
        if not ask.rule.is_rate:
            return None
        missing = self._refilled(ask.rule, ms).used + (ask.needed - ask.rule.amount) * MS_PER_MINUTE
        return missing / ask.rule.amount / 1000

    def _take(self, rule: Rule, key: CounterKey, amount: int) -> None:
        counter = self._counter(key)
        if rule.is_rate:
            counter.used = max(0, counter.used + amount * MS_PER_MINUTE)
        else:
            counter.lent += amount

    def _refilled(self, rule: Rule, ms: int) -> Counter:
        counter = self._counter((rule.name, 0))
        if ms > counter.updated:
            counter.used = max(0, counter.used - (ms - counter.updated) * rule.amount)
        if not counter.updated - SKEW_MS < ms < counter.updated:
            counter.updated = ms  # also if the clock began again, with the machine
        return counter

    def _counter(self, key: CounterKey) -> Counter:
        return self._counters.setdefault(key, Counter())
