"""What one worker has borrowed under each rule, and what its runs have reserved of that.

A run reserves an upper bound of what it may use under every rule that covers it. At its end it is settled once with
what it has really used. Both happen in memory: only when a pool has too little, the worker borrows from the table that
all workers share.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

from dragoman.core.value_object import replace, value_object
from dragoman.limits.rules import MS_PER_MINUTE, Rule, Unit, Window
from dragoman.limits.table import Ask, CounterKey, Refusal, RuleState

Amounts: TypeAlias = Mapping[Unit, int]
"""Amounts by unit. A unit that is missing counts as 0."""

IDLE_MS = 500
"""Milliseconds after which the contents of an unused pool are returned, but for `Pool.kept`."""

_BUSY_MS = 250
"""A worker that borrows again within this time borrows twice as much as the last time."""
_STEADY_MS = 1000
"""One that borrows again within this time borrows as much as the last time. Later, it begins with what a run needs."""
_MAX_BOOST = 1024
_FORGET_MS = 3_600_000
_REFUSAL_MS = 50
"""Milliseconds for which a refusal is repeated without asking again."""

_REQUESTS = Unit.REQUESTS
"""Members of an enumeration that every settlement reads for each rule: a global name is found three times as fast."""
_DOLLARS = Unit.DOLLARS


@dataclass(slots=True)
class Pool:
    """What a worker has borrowed under one rule, in one window.

    Attributes:
        rule: The rule, as it was last used.
        window: The window of a budget, else `ALWAYS`.
        unit: The unit of the rule.
        available: What is borrowed and not reserved by a run.
        charged: What settled runs have cost, of a budget, that is not in the shared table yet.
        sent: The part of it that is being written. Until that is done, the shared state does not have it.
        owed: What must be given back, or, if it is negative, what runs used more than could be taken from the pool.
        shared: The shared state when it was last seen; None before.
        seen: When that was, in milliseconds.
        own: What runs of this worker have spent of a budget that is not in `shared`.
        holds: How many holds have reserved something here.
        waiting: What runs need that wait for a loan to another one.
        gifts: How often something was put into the pool.
        used_at: When the pool was last used.
        boost: How many times what a run needs is borrowed at once.
        borrowed_at: When the worker last borrowed.
        refilling: Whether it is borrowing more than runs have asked for.
        refusal: The last refusal.
        refused_until: Until when the refusal is repeated.
    """

    rule: Rule
    window: Window
    unit: Unit = field(init=False)
    available: int = 0
    charged: int = 0
    sent: int = 0
    owed: int = 0
    shared: RuleState | None = None
    seen: int = 0
    own: int = 0
    holds: int = 0
    waiting: int = 0
    gifts: int = 0
    used_at: int = 0
    boost: int = 1
    borrowed_at: int = -_STEADY_MS
    refilling: bool = False
    refusal: Refusal | None = None
    refused_until: int = 0

    def __post_init__(self) -> None:
        """Note what every reservation reads."""
        self.unit = self.rule.unit

    @property
    def key(self) -> CounterKey:
        """The key of the shared state."""
        return self.rule.name, self.window.start

    @property
    def kept(self) -> int:
        """What a pool has in stock, also unused, so that runs need not wait: what its bucket regains in `IDLE_MS`."""
        return self.rule.amount * IDLE_MS // MS_PER_MINUTE if self.rule.is_rate else 0

    @property
    def spent(self) -> int:
        """What is spent of a budget, as far as this worker knows."""
        return self.own + (self.shared.used if self.shared else 0)

    def need(self, amounts: Amounts) -> int:
        """Return how much of these amounts the rule counts.

        Requests or tokens that are more than their bucket holds need a full bucket only: they could never pass
        otherwise.
        """
        needed = amounts.get(self.unit, 0)
        return self.rule.amount if needed > self.rule.amount and self.rule.is_rate else needed

    def see(self, state: RuleState, ms: int) -> None:
        """Note the shared state."""
        self.shared, self.seen, self.own = state, ms, self.charged + self.sent

    def next_boost(self, ms: int) -> int:
        """Return how many times what a run needs to borrow now, and note that it is borrowed."""
        since = ms - self.borrowed_at
        self.borrowed_at = ms
        if since >= _STEADY_MS:
            self.boost = 1
        elif since < _BUSY_MS:
            self.boost = min(2 * self.boost, _MAX_BOOST)
        return self.boost

    def surrender(self, keep: int = 0) -> None:
        """Plan to return what is borrowed and not reserved, but for what to keep."""
        if self.available > keep:
            self.owed += self.available - keep
            self.available = keep

    def give(self, amount: int) -> None:
        """Put an amount into the pool."""
        if amount:
            self.available += amount
            self.gifts += 1
            self.refused_until = 0


class Share(Struct, eq=False):
    """What a hold has reserved in one pool."""

    pool: Pool
    reserved: int


@dataclass(slots=True)
class Hold:
    """What one run has reserved.

    Attributes:
        began: When the run was admitted, in seconds since 1970. It is charged in the windows of this time.
        shares: What it has reserved.
        settled: Whether the run has ended.
    """

    began: float
    shares: list[Share] = field(default_factory=list)
    settled: bool = False

    @property
    def counts_usage(self) -> bool:
        """Whether more than the request itself counts: what the run uses, or that it has ended."""
        for share in self.shares:  # noqa: SIM110 - three times as fast as `any`
            if share.pool.unit is not _REQUESTS:
                return True
        return False

    def reserved(self, unit: Unit) -> int:
        """Return the largest amount that is reserved in a unit."""
        return max((share.reserved for share in self.shares if share.pool.unit is unit), default=0)


@value_object
class Repayment:
    """What a worker tells the shared table about one pool.

    Attributes:
        rule: The rule.
        window: The window.
        charged: What of a budget is spent and no longer lent.
        given_back: What is no longer lent, and not used.
    """

    rule: Rule
    window: Window
    charged: int
    given_back: int


class Pools:
    """The pools of one worker. It does no I/O and knows no clock.

    Attributes:
        drops: How often everything was forgotten.
    """

    def __init__(self) -> None:
        self.drops = 0
        self._refused_until = 0
        self._pools: dict[CounterKey, Pool] = {}

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def pool(self, rule: Rule, window: Window) -> Pool:
        """Return the pool of a rule in a window."""
        key = rule.name, window.start
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(rule, window)
        elif pool.rule is not rule:
            pool.rule, pool.refused_until = rule, 0
        return pool

    def take(self, pools: Sequence[Pool], amounts: Amounts, ms: int) -> tuple[list[Share], list[Ask]] | Refusal:
        """Reserve what the pools have, and return what is missing.

        Args:
            pools: The pools of all rules that cover a run, each once.
            amounts: What the run may use.
            ms: The time.

        Returns:
            What was reserved, and what must be borrowed in addition; or a refusal that is still fresh. Then nothing was
            reserved.
        """
        if refusal := self._fresh_refusal(pools, amounts, ms):
            return refusal
        shares, asks = [], []
        for pool in pools:
            needed = pool.need(amounts)
            if needed == 0:
                continue
            pool.holds += 1
            pool.used_at = ms
            if needed <= pool.available:
                pool.available -= needed
                shares.append(Share(pool, needed))
                continue
            taken, pool.available = pool.available, 0
            shares.append(Share(pool, taken))
            missing = needed - taken
            more = max(pool.waiting, needed * (pool.next_boost(ms) - 1), pool.kept)
            asks.append(Ask(pool.rule, pool.window, missing, missing + more))
        return shares, asks

    def lacking(self, pools: Sequence[Pool], amounts: Amounts, ms: int) -> list[Pool]:
        """Return the pools that have less than a run needs; none if it is refused anyway."""
        if self._fresh_refusal(pools, amounts, ms):
            return []
        return [pool for pool in pools if pool.need(amounts) > pool.available]

    @contextmanager
    def waiting(self, pools: Sequence[Pool], amounts: Amounts) -> Iterator[None]:
        """Have the next loan include what a run needs."""
        needs = [(pool, pool.need(amounts)) for pool in pools]
        for pool, needed in needs:
            pool.waiting += needed
        try:
            yield
        finally:
            for pool, needed in needs:
                pool.waiting -= needed

    def _fresh_refusal(self, pools: Sequence[Pool], amounts: Amounts, ms: int) -> Refusal | None:
        if ms < self._refused_until:
            for pool in pools:
                if ms < pool.refused_until and pool.refusal and amounts.get(pool.unit, 0) >= pool.refusal.needed:
                    return pool.refusal
        return None

    def refills(self, pools: Sequence[Pool], amounts: Amounts, ms: int) -> list[Ask]:
        """Return what to borrow for the next runs, so that none of them has to wait: of pools that are half empty.

        Call `refill` with the answer.
        """
        asks = []
        for pool in pools:
            needed = amounts.get(pool.unit, 0)
            full = max(needed * pool.boost if pool.boost > 1 else 0, pool.kept)
            if 2 * pool.available < full and not pool.refilling:
                pool.refilling = True
                asks.append(Ask(pool.rule, pool.window, 0, max(needed * pool.next_boost(ms), pool.kept)))
        return asks

    def refill(self, asks: Sequence[Ask], granted: Sequence[int] | None) -> None:
        """Add what was borrowed for the next runs; None: nothing was."""
        for number, ask in enumerate(asks):
            pool = self.pool(ask.rule, ask.window)
            pool.refilling = False
            pool.give(granted[number] if granted else 0)

    def add_loan(self, shares: Sequence[Share], asks: Sequence[Ask], granted: Sequence[int]) -> None:
        """Complete a reservation with what was borrowed for it. The rest of the loan stays in the pools."""
        reserved = {share.pool.key: share for share in shares}
        for ask, amount in zip(asks, granted, strict=True):
            share = reserved[ask.key]
            share.reserved += ask.needed
            share.pool.give(amount - ask.needed)

    def put_back(self, shares: Iterable[Share]) -> None:
        """Undo a reservation."""
        for share in shares:
            share.pool.holds -= 1
            share.pool.give(share.reserved)

    def add_shares(self, hold: Hold, shares: Iterable[Share]) -> None:
        """Add a further reservation to a hold."""
        own = {id(share.pool): share for share in hold.shares}
        for share in shares:
            if (known := own.get(id(share.pool))) is None:
                hold.shares.append(share)
            else:
                known.reserved += share.reserved
                known.pool.holds -= 1

    def gifts(self) -> int:
        """Return how often something was put into any pool: a refusal from before is out of date then."""
        return sum(pool.gifts for pool in self._pools.values())

    def note_refusal(self, refusal: Refusal, amounts: Amounts, ms: int, *, is_new: bool = True) -> Refusal:
        """Repeat a refusal for a short time without asking again.

        Args:
            refusal: The refusal of what was missing in the pool. What was taken from it is back.
            is_new: Whether nothing was put into the pools since it was asked for. An old one is not repeated.
            amounts: What the run may use.
            ms: The time.

        Returns:
            The refusal of the whole run: its state includes what the shared table does not know yet.
        """
        state = refusal.state
        rule = state.rule
        pool = self.pool(rule, state.window)
        pool.see(state, ms)
        needed = refusal.needed + pool.available
        if rule.is_rate:
            state = replace(state, used=max(0, state.used - pool.available), remaining=state.remaining + pool.available)
        else:
            spent = pool.charged + pool.sent if rule.unit is Unit.DOLLARS else 0
            held = max(0, state.held - pool.available - pool.owed - spent)
            left = max(0, rule.amount - state.used - spent - held)
            state = replace(state, used=state.used + spent, held=held, remaining=left)
        pool.refusal = replace(refusal, state=state, needed=min(needed, max(amounts.get(rule.unit, 0), refusal.needed)))
        pool.refused_until = ms + _REFUSAL_MS if is_new else 0
        self._refused_until = max(self._refused_until, pool.refused_until)
        if is_new:  # what is too little here may be enough for all workers together, also while requests keep coming
            pool.surrender()
        return pool.refusal

    def settle(self, hold: Hold, used: Amounts) -> None:
        """End a hold: charge what its run has used, and release the rest. The next call for the same hold does nothing.

        A run that used more than it had reserved is charged for all of it.
        """
        if hold.settled:
            return
        hold.settled = True
        for share in hold.shares:
            pool = share.pool
            pool.holds -= 1
            unit = pool.unit
            if unit is _REQUESTS:
                continue  # the request was made, however it ended
            spent, uncovered = used.get(unit, 0), 0
            left = share.reserved - spent
            if left > 0:  # as `Pool.give`, without a call for each rule
                pool.available += left
                pool.gifts += 1
                pool.refused_until = 0
            elif left < 0:
                covered = min(-left, pool.available)
                pool.available -= covered
                uncovered = -left - covered
            if unit is _DOLLARS:
                pool.charged += spent - uncovered
                pool.own += spent
            elif uncovered:
                pool.owed -= uncovered

    def repay(self, ms: int, *, everything: bool = False) -> list[Repayment]:
        """Return what the shared table does not know yet. Call `confirm` when it is stored there, or else `restore`.

        Args:
            ms: The time.
            everything: Whether to return the contents of pools that are in use, too.
        """
        repayments = []
        for pool in self._pools.values():
            idle = ms - pool.used_at
            if everything or idle >= _FORGET_MS:
                pool.surrender()
            elif idle >= IDLE_MS:
                pool.surrender(pool.kept)
            if pool.charged or pool.owed:
                repayments.append(Repayment(pool.rule, pool.window, pool.charged, pool.owed))
                pool.sent = pool.charged
                pool.charged = pool.owed = 0
        return repayments

    def confirm(self, repayments: Iterable[Repayment]) -> None:
        """Forget repayments: the shared table has them."""
        for repayment in repayments:
            self.pool(repayment.rule, repayment.window).sent = 0

    def restore(self, repayments: Iterable[Repayment]) -> None:
        """Take repayments back that could not be stored."""
        for repayment in repayments:
            pool = self.pool(repayment.rule, repayment.window)
            pool.charged += repayment.charged
            pool.sent = 0
            pool.owed += repayment.given_back

    @property
    def has_loans(self) -> bool:
        """Whether there is anything to return or to charge."""
        return any(pool.available > pool.kept or pool.charged or pool.owed for pool in self._pools.values())

    def drop(self) -> None:
        """Forget what was borrowed: the lease has ended, and others may have it. Runs continue and are charged."""
        self._pools.clear()
        self.drops += 1

    def reclaim(self, pools: Iterable[Pool]) -> None:
        """Take back what is not returned yet: after a refusal, a run that needs less may fit into it."""
        for pool in pools:
            if pool.owed > 0:
                owed, pool.owed = pool.owed, 0
                pool.give(owed)

    def surrender(self, unit: Unit) -> None:
        """Return what is borrowed in a unit and not reserved."""
        for pool in self._pools.values():
            if pool.unit is unit:
                pool.surrender()

    def forget(self, now: float, ms: int) -> bool:
        """Drop pools of windows that are over and pools that were not used for long, if nothing is borrowed.

        Returns:
            Whether any was dropped.
        """
        before = len(self._pools)
        for key, pool in list(self._pools.items()):
            is_over = bool(pool.window.end) and pool.window.end < now
            is_idle = not (pool.available or pool.charged or pool.owed or pool.holds)
            if is_idle and (is_over or ms - pool.used_at > _FORGET_MS):
                del self._pools[key]
        return len(self._pools) < before


def tightest(pools: Sequence[Pool], ms: int) -> tuple[Rule, int]:
    """Return the rule on a rate with the least left, and about how much is left: exact if there is one worker.

    Args:
        pools: The pools of rules on requests or tokens per minute; at least one. The first of equal ones counts.
        ms: The time.
    """
    found, least = pools[0].rule, -1
    for pool in pools:
        shared, amount = pool.shared, pool.rule.amount
        left = amount
        if shared is not None:
            left = shared.remaining + pool.available + (ms - pool.seen) * amount // MS_PER_MINUTE
            if left > amount:
                left = amount
            elif left < 0:
                left = 0
        if left < least or least < 0:
            found, least = pool.rule, left
    return found, least


def split(shares: Sequence[Share], count: int, began: float) -> list[Hold]:
    """Return a hold for each of several runs that have reserved together."""
    if count == 1:
        return [Hold(began, list(shares))]
    holds = [Hold(began) for _ in range(count)]
    for share in shares:
        part = share.reserved // count
        share.pool.holds += count - 1
        for hold in holds:
            hold.shares.append(Share(share.pool, part))
        holds[0].shares[-1].reserved += share.reserved - part * count
    return holds
