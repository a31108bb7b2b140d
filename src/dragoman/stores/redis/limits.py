"""A `SharedLimits` of many nodes: limits on requests, tokens and runs are in Redis, budgets and the ledger in SQL.

Redis may lose everything at any time. No rule is exceeded then:

- Budgets do not depend on it.
- What was taken out of a bucket is not known any more, so a new bucket is empty. It is refilled as usual.
- Each worker knows the runs that are lent to it, and says so with each call that changes them and after a loss. No run
  is lent before all workers that the ledger knows have done so, or until their leases have ended.

A call states what is lent to the worker afterwards, and not a difference: it does no harm if the reply is lost, and a
call that was delayed is refused by its number.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.core.supervise import SupervisedTask, failures_of
from dragoman.core.value_object import value_object
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import ALWAYS, Rule, Unit, Window
from dragoman.limits.table import SKEW_MS, Ask, CounterKey, Refusal, RuleState
from dragoman.stores.ledger import Column, LedgerFilter, LedgerRow, LedgerSum, Loan, SharedLimits
from dragoman.stores.redis.limit_state import LimitState
from dragoman.stores.redis.server import RedisAwayError, RedisServer


@value_object(kw_only=True)
class RedisLimitsOptions:
    """How limits in Redis are kept.

    Attributes:
        lease_ms: Milliseconds of the longest lease.
        is_first: Returns whether no state has ever been in Redis. Its buckets are full then. Called once.
        first_wait: Seconds for which a node that finds nothing in Redis when it starts waits for the first one.
        opens: Whether limits on requests, tokens and runs admit everything while Redis cannot be used.
        beat_seconds: Seconds between two reports of a worker; None: it reports only with its calls.
        uses_server_clock: Whether times in Redis are those of its clock; else those of the calls.
    """

    lease_ms: int = 60_000
    is_first: Callable[[], Awaitable[bool]]
    first_wait: float = 0.1
    opens: bool = False
    beat_seconds: float | None = 1.0
    uses_server_clock: bool = True


@dataclass
class _Worker:
    """A worker of this process.

    Attributes:
        name: Its name.
        number: The number of its last call. It is above those of a worker that had the name before.
        lease: When its lease in the ledger ends. That in Redis is never longer.
        reported: The lease that Redis knows.
        runs: What is lent to it of each limit on runs, by the name of the rule.
        unsent: The names of those that Redis does not know.
        given: What must be given back to each bucket. Negative: runs used more than they had reserved.
        epoch: The epoch that has its report.
    """

    name: str
    number: int = 0
    lease: int = 0
    reported: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    unsent: set[str] = field(default_factory=set)
    given: dict[str, tuple[Rule, int]] = field(default_factory=dict)
    epoch: str = ""
    calling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def forget(self) -> None:
        """Note that all was taken back, if it can be in Redis. Calls are still numbered in their order."""
        self.unsent |= self.runs.keys()  # if the removal does not arrive there, a report of 0 does
        self.runs.clear()
        self.given.clear()
        self.lease = 0
        self.epoch = ""

    def lend(self, rule: Rule, amount: int) -> None:
        """Note that something is lent, or, if it is negative, given back."""
        if rule.is_rate:
            self.given[rule.name] = rule, self.given.get(rule.name, (rule, 0))[1] - amount
        else:
            self.runs[rule.name] = max(0, self.runs.get(rule.name, 0) + amount)
            self.unsent.add(rule.name)

    def take_back(self, asks: Sequence[Ask], lent: Mapping[CounterKey, tuple[int, RuleState]]) -> None:
        """Note that what was lent for some asks is given back."""
        for ask in asks:
            self.lend(ask.rule, -lent[ask.key][0])


class RedisLimits:
    """A `SharedLimits` in Redis and a ledger.

    Args:
        ledger: The ledger, with the budgets. It is closed with this.
        redis: The server. The caller closes it.
        ms: The clock of the calls.
        options: The options.
    """

    runs_until: float = inf

    def __init__(
        self, ledger: SharedLimits, redis: RedisServer, ms: Callable[[], int], options: RedisLimitsOptions
    ) -> None:
        self._ledger: Final = ledger
        self._redis: Final = redis
        self._ms = ms
        self._options = options
        self._state = LimitState(
            redis,
            options.is_first,
            first_wait=options.first_wait,
            settle_ms=options.lease_ms + SKEW_MS,
            uses_server_clock=options.uses_server_clock,
        )
        self._workers: dict[str, _Worker] = {}
        self._task = SupervisedTask(self._beat, name="limits", on_failure=_log_failure, max_pause=5.0)

    # The ledger.

    async def add(self, rows: Sequence[LedgerRow]) -> frozenset[str]:
        """See `Ledger.add`."""
        return await self._ledger.add(rows)

    async def spent(self, filter_: LedgerFilter) -> int:
        """See `Ledger.spent`."""
        return await self._ledger.spent(filter_)

    async def sums(self, filter_: LedgerFilter, by: Sequence[Column]) -> Sequence[LedgerSum]:
        """See `Ledger.sums`."""
        return await self._ledger.sums(filter_, by)

    def failures(self) -> Mapping[str, str]:
        """Return why the ledger and Redis cannot be used; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_of(self._ledger, self._redis)

    async def aclose(self) -> None:
        """See `Ledger.aclose`."""
        await self._task.aclose()
        await self._ledger.aclose()

    # The limits.

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """See `SharedLimits.borrow`. Redis comes first: what a budget refuses is returned there without a write."""
        own = self._own(worker)
        counts = [ask for ask in asks if ask.rule.unit is not Unit.DOLLARS]
        budgets = [ask for ask in asks if ask.rule.unit is Unit.DOLLARS]
        found: dict[CounterKey, tuple[int, RuleState]] = {}
        if counts:
            await self._renew(own, ms, lease)
            loan = await self._lend(own, counts, ms)
            if isinstance(loan, Refusal):
                return loan
            found |= _by_key(counts, loan)
        if budgets:
            try:
                loan = await self._ledger.borrow(worker, budgets, ms, lease)
            except BaseException:
                own.take_back(counts, found)
                raise
            if isinstance(loan, Refusal):
                own.take_back(counts, found)
                if counts:
                    await self._try_to_report(own, ms)
                return loan
            own.lease = max(own.lease, lease)
            found |= _by_key(budgets, loan)
        return Loan([found[ask.key][0] for ask in asks], [found[ask.key][1] for ask in asks])

    async def sync(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """See `SharedLimits.sync`. What cannot be written to Redis now is written later: that is no error."""
        own = self._own(worker)
        budgets = [one for one in repayments if one.rule.unit is Unit.DOLLARS]
        added = await self._ledger.sync(worker, rows, budgets, ms, lease)
        own.lease = max(own.lease, lease)
        for one in repayments:
            if one.rule.unit is not Unit.DOLLARS:
                own.lend(one.rule, -one.given_back)
        if own.unsent or own.given or (own.runs and own.reported - ms < (lease - ms) // 2):
            await self._try_to_report(own, ms)
        return added

    async def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """See `SharedLimits.states`."""
        counts = [rule for rule, _ in rules if rule.unit is not Unit.DOLLARS]
        budgets = [(rule, window) for rule, window in rules if rule.unit is Unit.DOLLARS]
        states = list(await self._ledger.states(budgets, ms)) if budgets else []
        if counts:
            try:
                reply = await self._state.call({"states": [_rule(rule) for rule in counts]}, ms)
            except RedisAwayError as error:
                raise _failed() from error
            states += [RuleState(rule, ALWAYS, *state) for rule, state in zip(counts, reply[3], strict=True)]
        found = {(state.rule.name, state.window.start): state for state in states}
        return [found[rule.name, window.start] for rule, window in rules]

    async def others(self, worker: str) -> Mapping[str, int]:
        """See `SharedLimits.others`. What was lent to others in Redis, and not taken back with them, is taken back."""
        listed = await self._try({"list": True})  # first: a worker is in the ledger before it is in Redis
        known = await self._ledger.others("")
        numbers = {name.decode(): number for name, number in listed[4]} if listed else {}
        if gone := [[name, number] for name, number in numbers.items() if name not in known]:
            await self._try({"gone": gone})
        return {name: lease for name, lease in known.items() if name != worker}

    async def remove_worker(self, worker: str, rows: Sequence[LedgerRow]) -> None:
        """See `SharedLimits.remove_worker`. If Redis cannot be used now, `others` does its part later."""
        await self._ledger.remove_worker(worker, rows)
        if own := self._workers.get(worker):
            own.forget()
        await self._try({"remove": worker})

    # The rest is about Redis.

    def _own(self, name: str) -> _Worker:
        if self._options.beat_seconds is not None:
            self._task.start()
        own = self._workers.get(name)
        if own is None:
            own = self._workers[name] = _Worker(name, number=time.monotonic_ns() // 1000)
        return own

    async def _try(self, request: Mapping[str, object]) -> list[Any] | None:
        """Return the reply to a request; None: it may not have been executed."""
        try:
            return await self._state.call(request, self._ms())
        except RedisAwayError as error:
            log.debug("limits.not_removed", error=str(error))
            return None

    async def _renew(self, own: _Worker, ms: int, lease: int) -> None:
        """Have the ledger know a worker before it borrows, so that others wait for it after a loss."""
        if own.lease - ms < (lease - ms) * 3 // 4:
            await self._ledger.sync(own.name, (), (), ms, lease)
            own.lease = lease

    async def _lend(self, own: _Worker, asks: Sequence[Ask], ms: int) -> Loan | Refusal:
        try:
            reply = await self._report(own, ms, asks)
            if reply[0] == b"unsettled":
                reply = await self._report(own, ms, asks, expected=await self._expected(ms))
        except RedisAwayError as error:
            if not self._options.opens:
                raise _failed() from error
            reply = [b"away"]
        if reply[0] == b"refused":
            number, used, held, remaining, missing = reply[1:]
            ask = asks[number]
            wait = missing / ask.rule.amount / 1000 if ask.rule.is_rate else None
            return Refusal(RuleState(ask.rule, ask.window, used, held, remaining), ask.needed, wait)
        if reply[0] == b"ok":
            return Loan(
                reply[2], [RuleState(ask.rule, ALWAYS, *state) for ask, state in zip(asks, reply[3], strict=True)]
            )
        if not self._options.opens:
            raise StoreFailed(
                "Redis has lost its data, and not all nodes have reported yet which runs they carry out.", retry_after=1
            )
        for ask in asks:
            if not ask.rule.is_rate:
                own.lend(ask.rule, ask.needed)
        return Loan([ask.needed for ask in asks], [RuleState(ask.rule, ALWAYS, 0, 0, ask.rule.amount) for ask in asks])

    async def _try_to_report(self, own: _Worker, ms: int, *, expected: Sequence[str] | None = None) -> None:
        try:
            await self._report(own, ms, expected=expected)
        except RedisAwayError as error:  # a later call reports it, or that of `_beat`
            log.debug("limits.unreported", error=str(error))

    async def _report(
        self, own: _Worker, ms: int, asks: Sequence[Ask] = (), *, expected: Sequence[str] | None = None
    ) -> list[Any]:
        """Report what is lent to a worker, refill buckets, and ask for more. Return the reply of the script."""
        async with own.calling:
            names: set[str] = set()
            sent: dict[str, tuple[Rule, int]] = {}

            def request() -> dict[str, object]:
                nonlocal names, sent
                names |= own.unsent | {ask.rule.name for ask in asks if not ask.rule.is_rate}
                own.unsent = set()  # what changes from now on is for the next call
                if own.epoch != self._state.epoch:
                    names |= own.runs.keys()
                sent = _added(sent, own.given)
                own.given = {}
                own.number += 1
                return {
                    "worker": own.name,
                    "number": own.number,
                    "lease": own.lease - ms,
                    "held": {name: own.runs.get(name, 0) for name in names},
                    "given": [[*_rule(rule), amount] for rule, amount in sent.values()],
                    "asks": [[*_rule(ask.rule), ask.needed, ask.desired] for ask in asks],
                    "states": [_rule(ask.rule) for ask in asks],
                    "expected": expected,
                }

            lease = own.lease
            try:
                reply = await self._state.call(request, ms)
            except BaseException:
                # Whether it was done is not known. A bucket is refilled; what is missing in it must not be forgotten.
                own.given = _added(own.given, {name: one for name, one in sent.items() if one[1] < 0})
                own.unsent |= names
                raise
            own.epoch = self._state.epoch
            for name in names:
                if not own.runs.get(name):
                    own.runs.pop(name, None)
            own.reported = lease
            self.runs_until = min(one.reported for one in self._workers.values() if one.epoch)
            if reply[0] == b"ok":
                for ask, amount in zip(asks, reply[2], strict=True):
                    if not ask.rule.is_rate:
                        own.runs[ask.rule.name] = own.runs.get(ask.rule.name, 0) + amount
            return reply

    async def _expected(self, ms: int) -> list[str]:
        """Return the workers that may have borrowed runs."""
        return [name for name, lease in (await self._ledger.others("")).items() if lease > ms]

    async def _beat(self) -> None:
        """Report, so that nothing waits for this process after a loss, and nothing stays lent after a failure."""
        while True:
            await asyncio.sleep(self._options.beat_seconds or 0)
            await self.beat()
            self._task.recovered()

    async def beat(self) -> None:
        """Report what is lent to the workers of this process whose leases have not ended.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        ms = self._ms()
        for own in list(self._workers.values()):
            if own.lease > ms:
                await self._try_to_report(own, ms)
                if not self._state.is_settled and own.epoch == self._state.epoch:
                    await self._try_to_report(own, ms, expected=await self._expected(ms))


def _rule(rule: Rule) -> list[object]:
    return [rule.name, rule.is_rate, rule.amount]


def _by_key(asks: Sequence[Ask], loan: Loan) -> dict[CounterKey, tuple[int, RuleState]]:
    pairs = zip(loan.granted, loan.states, strict=True)
    return {ask.key: pair for ask, pair in zip(asks, pairs, strict=True)}


def _added(one: Mapping[str, tuple[Rule, int]], other: Mapping[str, tuple[Rule, int]]) -> dict[str, tuple[Rule, int]]:
    return {**one, **{name: (rule, amount + one.get(name, (rule, 0))[1]) for name, (rule, amount) in other.items()}}


def _failed() -> StoreFailed:
    return StoreFailed(
        "Limits on requests, tokens and runs cannot be checked now, because Redis cannot be used. The gateway's log "
        "has the reason.",
        retry_after=1,
    )


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("limits.unreported", error=str(error), retry_in=pause)
