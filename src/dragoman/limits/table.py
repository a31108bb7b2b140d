"""The state machine of limits and budgets: what is used, what is held, and whether one more run fits.

A run reserves an upper bound of what it may use under every rule that covers it: all of them, or none. At its end it
is settled once with what it has really used. A hold that is not renewed expires and is charged with what its owner last
reported, so a crashed process blocks no one.

Requests and tokens per minute are token buckets: a bucket holds the amount of a minute and is refilled evenly. A budget
counts what is spent and what is held in its window of the calendar. At any time, spent + held <= amount.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TypeAlias

from dragoman.limits.rules import MS_PER_MINUTE, Period, Rule, Unit, Window, window_at

Amounts: TypeAlias = Mapping[Unit, int]
"""Amounts by unit. A unit that is missing counts as 0."""

_MAX_SETTLED_LATE = 10_000
"""Expired holds whose charge is remembered, for a run that is settled after its hold expired."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, by two clocks.

    Attributes:
        ms: Milliseconds of a clock that is never set: for buckets and for the expiry of holds.
        wall: Seconds since 1970: for the windows of budgets.
    """

    ms: int
    wall: float


@dataclass(frozen=True, slots=True)
class RuleState:
    """What is left of one rule.

    Attributes:
        rule: The rule.
        used: What is used: spent in the window, taken out of the bucket, or running.
        held: What is reserved by runs that are not settled. It is part of `used` for all units but dollars.
        remaining: What a run may still reserve; at least 0.
        resets_in: Seconds until nothing is used any more, if nothing more is reserved: the bucket is full, or the next
            window begins. None for runs, which end at no known time.
    """

    rule: Rule
    used: int
    held: int
    remaining: int
    resets_in: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run was not admitted.

    Attributes:
        state: The state of the rule that refused.
        needed: What the run wanted to reserve.
        retry_after: Seconds until the same reservation fits, if nothing else is reserved. None: when other runs end.
    """

    state: RuleState
    needed: int
    retry_after: float | None


@dataclass(slots=True)
class _Bucket:
    """The level of a token bucket, in units times `MS_PER_MINUTE`: it is refilled by the rule's amount each ms."""

    level: int
    updated: int

    def refill(self, amount: int, ms: int) -> None:
        if ms > self.updated:
            self.level += (ms - self.updated) * amount
            self.updated = ms
        self.level = min(self.level, amount * MS_PER_MINUTE)


@dataclass(slots=True)
class _Total:
    """What is used and held: by the runs of a rule, or in one window of a budget."""

    spent: int = 0
    held: int = 0


@dataclass(slots=True)
class _Share:
    """What a hold has reserved under one rule, in one window if the rule has a period."""

    rule: Rule
    window: int
    reserved: int


@dataclass(slots=True)
class _Hold:
    """What a run has reserved."""

    expires: int
    shares: list[_Share]
    used: Amounts = field(default_factory=dict)


class LimitTable:
    """Decides for all rules, in memory. It does no I/O and knows no clock.

    The sums of a budget's window come from the ledger. `unloaded` returns the windows that the table has not seen;
    the caller loads them before it reserves. Sums of windows that are over are forgotten.

    Args:
        zone: The time zone of the calendar.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._buckets: dict[str, _Bucket] = {}
        self._running: dict[str, _Total] = {}
        self._budgets: dict[tuple[str, int], _Total] = {}
        self._holds: dict[str, _Hold] = {}
        self._expired: dict[str, _Hold] = {}

    @property
    def holds(self) -> int:
        """Runs that are not settled."""
        return len(self._holds)

    def window(self, rule: Rule, now: Moment) -> Window:
        """Return the current window of a budget."""
        return window_at(rule.period or Period.DAY, now.wall, self._zone)

    def unloaded(self, rules: Iterable[Rule], now: Moment) -> list[tuple[Rule, Window]]:
        """Return the budgets whose current window must be loaded before a reservation."""
        windows = [(rule, self.window(rule, now)) for rule in rules if rule.unit is Unit.DOLLARS]
        return [(rule, window) for rule, window in windows if (str(rule), window.start) not in self._budgets]

    def load(self, rule: Rule, window: Window, spent: int) -> None:
        """Set what was spent in a window. Do nothing if the window is loaded already."""
        self._budgets.setdefault((str(rule), window.start), _Total(spent))

    def reserve(self, hold: str, rules: Sequence[Rule], amounts: Amounts, now: Moment, expires: int) -> Refusal | None:
        """Reserve amounts under all rules, or under none. A hold that exists takes them in addition.

        A reservation of requests or tokens that is larger than its bucket passes when the bucket is full: it could
        never pass otherwise.

        Args:
            hold: The id of the run.
            rules: The rules that cover the run. All budgets are loaded.
            amounts: Upper bounds of what the run may use.
            now: The time.
            expires: When the hold expires unless it is renewed, in the milliseconds of `now`.

        Returns:
            The refusal of the first rule that refuses; None if all agree.
        """
        known = self._holds.get(hold)
        shares = []
        for rule in rules:
            if needed := amounts.get(rule.unit, 0):
                share = _Share(rule, self._window_start(rule, known, now), needed)
                if _is_rate(rule):
                    share.reserved = min(needed, rule.amount)
                if refusal := self._refusal(share, now):
                    return refusal
                shares.append(share)
        for share in shares:
            self._take(share)
        if known is None:
            self._holds[hold] = _Hold(expires, shares)
        else:
            known.shares += shares
            known.expires = expires
        return None

    def renew(self, hold: str, used: Amounts, expires: int) -> bool:
        """Extend a hold, and note what its run has used so far: that is charged if it expires.

        Returns:
            Whether the hold exists.
        """
        known = self._holds.get(hold)
        if known is None:
            return False
        known.used, known.expires = used, expires
        return True

    def settle(self, hold: str, used: Amounts, now: Moment) -> None:
        """End a hold: charge what its run has used, and release the rest. The next call for the same hold does nothing.

        A run that used more than it had reserved is charged for all of it.
        """
        if known := self._holds.pop(hold, None):
            self._settle(known, used, now)
        elif expired := self._expired.pop(hold, None):
            # Its reservations are released, and `expired.used` is charged.
            late = {unit: used.get(unit, 0) - expired.used.get(unit, 0) for unit in Unit}
            self._settle(_Hold(0, [_Share(share.rule, share.window, 0) for share in expired.shares]), late, now)

    def expire(self, now: Moment) -> list[str]:
        """End the holds that were not renewed, and charge what their owners last reported.

        Returns:
            Their ids.
        """
        over = [hold for hold, known in self._holds.items() if known.expires <= now.ms]
        for hold in over:
            known = self._expired[hold] = self._holds.pop(hold)
            self._settle(known, known.used, now)
        while len(self._expired) > _MAX_SETTLED_LATE:
            del self._expired[next(iter(self._expired))]
        return over

    def state(self, rule: Rule, now: Moment) -> RuleState:
        """Return what is left of a rule."""
        return self._state(rule, self._window_start(rule, None, now), now)

    def forget(self, now: Moment) -> None:
        """Drop the sums of windows that are over and have no holds. A window that is needed again is loaded again."""
        held = {(str(share.rule), share.window) for hold in self._holds.values() for share in hold.shares}
        oldest = window_at(Period.MONTH, now.wall, self._zone).start - 8 * 86_400
        for key in [key for key in self._budgets if key[1] < oldest and key not in held]:
            del self._budgets[key]

    def _refusal(self, share: _Share, now: Moment) -> Refusal | None:
        state = self._state(share.rule, share.window, now)
        if share.reserved <= state.remaining:
            return None
        # Other runs may release what they hold at any time.
        retry = None if state.used + share.reserved <= share.rule.amount else state.resets_in
        if _is_rate(share.rule):
            missing = share.reserved * MS_PER_MINUTE - self._bucket(share.rule, now).level
            retry = missing / share.rule.amount / 1000
        return Refusal(state, share.reserved, retry)

    def _state(self, rule: Rule, window: int, now: Moment) -> RuleState:
        if _is_rate(rule):
            missing = rule.amount * MS_PER_MINUTE - self._bucket(rule, now).level
            used = -(-missing // MS_PER_MINUTE)
            return RuleState(rule, used, used, max(0, rule.amount - used), missing / rule.amount / 1000)
        total = self._total(rule, window)
        remaining = max(0, rule.amount - total.spent - total.held)
        if rule.unit is Unit.RUNS:
            return RuleState(rule, total.held, total.held, remaining, None)
        return RuleState(rule, total.spent, total.held, remaining, self.window(rule, now).end - now.wall)

    def _take(self, share: _Share) -> None:
        if _is_rate(share.rule):
            self._buckets[str(share.rule)].level -= share.reserved * MS_PER_MINUTE
        else:
            self._total(share.rule, share.window).held += share.reserved

    def _settle(self, hold: _Hold, used: Amounts, now: Moment) -> None:
        """Release all reservations of a hold, and charge each of its rules once."""
        charged = set()
        for share in hold.shares:
            rule = share.rule
            more = 0 if str(rule) in charged else used.get(rule.unit, 0)
            charged.add(str(rule))
            if _is_rate(rule):
                bucket = self._bucket(rule, now)
                bucket.level += (share.reserved - more) * MS_PER_MINUTE
                bucket.refill(rule.amount, now.ms)
            else:
                total = self._total(rule, share.window)
                total.held -= share.reserved
                total.spent += more if rule.unit is Unit.DOLLARS else 0

    def _bucket(self, rule: Rule, now: Moment) -> _Bucket:
        """Return the bucket of a rule, refilled. A new one is full."""
        bucket = self._buckets.setdefault(str(rule), _Bucket(rule.amount * MS_PER_MINUTE, now.ms))
        bucket.refill(rule.amount, now.ms)
        return bucket

    def _total(self, rule: Rule, window: int) -> _Total:
        if rule.unit is Unit.RUNS:
            return self._running.setdefault(str(rule), _Total())
        return self._budgets[str(rule), window]

    def _window_start(self, rule: Rule, hold: _Hold | None, now: Moment) -> int:
        """Return the window of a reservation: a run is charged in the window in which it began. 0: no budget."""
        if rule.unit is not Unit.DOLLARS:
            return 0
        begun = (share.window for share in hold.shares if str(share.rule) == str(rule)) if hold else ()
        return next(iter(begun), self.window(rule, now).start)


def _is_rate(rule: Rule) -> bool:
    return rule.unit in {Unit.REQUESTS, Unit.TOKENS}
