"""What one process borrows from the counters that all processes share, and how it returns it.

Most reservations are made in memory, out of what is borrowed already. Of many requests that come at once, the first one
borrows for itself, and the second one for all that wait. What runs have used is added to the ledger in one transaction
with what is returned.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from math import inf
from pathlib import Path
from typing import TypeVar

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.core.value_object import value_object
from dragoman.limits.pools import Amounts, Pool, Pools, Repayment, Share
from dragoman.limits.rules import ALWAYS, Period, Rule, Unit, Window, window_at
from dragoman.limits.table import Ask, CounterKey, Refusal
from dragoman.runs.policy import Clock
from dragoman.stores.ledger import LedgerRow, SharedLimits
from dragoman.stores.outbox import delete_outbox, is_gone, node_of, read_left_behind

LEASE_MS = 600_000
"""Milliseconds after which a process that hangs loses what it has borrowed. One that has ended loses it at once."""

_SKEW_MS = 5000
"""Milliseconds by which the clock of another process may be ahead."""
_RECLAIM_MS = 1000
"""Milliseconds between two looks for processes that have ended."""
_MAX_COVERED = 10_000

_T = TypeVar("_T")


@value_object
class Covering:
    """The pools of the rules that cover the runs of a client and a model, as long as `since` <= now < `until`.

    Attributes:
        rules: The rules.
        pools: Their pools.
        rates: The pools of the rules on requests per minute, and those on tokens per minute, as far as there are any.
        needs_bound: Whether a run reserves tokens or dollars: then the most that it may use must be known.
    """

    rules: tuple[Rule, ...]
    pools: Sequence[Pool]
    rates: Sequence[Sequence[Pool]]
    needs_bound: bool
    since: float
    until: float


class _Loan:
    """Something that is being borrowed.

    Attributes:
        over: Set at the end.
        has_failed: Whether the ledger could not be used.
    """

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.has_failed = False


class Borrower:
    """One process among those that borrow.

    Args:
        ledger: The counters that all processes share. The caller closes it.
        worker: The name of this process.
        outboxes: The directory of the outboxes of all processes; None: there are none.
        clock: The clocks.
        on_take: Called after a reservation: there is something to return later.
        lease: Milliseconds after which a process that hangs, or whose machine is gone, loses what it has borrowed.

    Attributes:
        pools: What is borrowed under each rule.
    """

    def __init__(
        self,
        ledger: SharedLimits,
        worker: str,
        outboxes: Path | None,
        clock: Clock,
        on_take: Callable[[], None],
        *,
        lease: int = LEASE_MS,
    ) -> None:
        self.pools = Pools()
        self._lease_ms = lease
        self._ledger = ledger
        self._worker = worker
        self._outboxes = outboxes
        self._clock = clock
        self._on_take = on_take
        self._windows: dict[Period, Window] = {}
        self._covered: dict[int, Covering] = {}
        self._lease = 0
        self._is_late = False
        self._returning = asyncio.Lock()
        self._reclaimed = -_RECLAIM_MS
        self._tasks: set[asyncio.Task[object]] = set()
        self._loans: dict[CounterKey, _Loan] = {}
        self._syncing = asyncio.Lock()

    def window(self, rule: Rule) -> Window:
        """Return the window of a rule now."""
        period = rule.period
        if period is None:
            return ALWAYS
        now = self._clock.wall()
        window = self._windows.get(period)
        if window is None or not window.start <= now < window.end:
            window = self._windows[period] = window_at(period, now, self._clock.zone)
        return window

    def pool(self, rule: Rule) -> Pool:
        """Return the pool of a rule in its window now."""
        return self.pools.pool(rule, self.window(rule))

    def pools_of(self, rules: Sequence[Rule]) -> list[Pool]:
        """Return the pools of rules in their windows now."""
        return [self.pools.pool(rule, self.window(rule)) for rule in rules]

    def covering(self, rules: tuple[Rule, ...]) -> Covering:
        """Return the pools of the rules of a client and a model. They are the same until a window ends."""
        now = self._clock.wall()
        known = self._covered.get(id(rules))
        if known is None or known.rules is not rules or not known.since <= now < known.until:
            if len(self._covered) >= _MAX_COVERED:
                self._covered.clear()
            pools = self.pools_of(rules)
            windows = [pool.window for pool in pools if pool.window.end]
            since = max((window.start for window in windows), default=-inf)
            until = min((window.end for window in windows), default=inf)
            by_unit = [[pool for pool in pools if pool.rule.unit is unit] for unit in (Unit.REQUESTS, Unit.TOKENS)]
            rates = [some for some in by_unit if some]
            needs_bound = any(rule.unit in {Unit.TOKENS, Unit.DOLLARS} for rule in rules)
            known = self._covered[id(rules)] = Covering(rules, pools, rates, needs_bound, since, until)
        return known

    async def look(self, rules: Sequence[Rule]) -> None:
        """Learn what is used of rules.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        ms = self._clock.ms()
        for state in await self._ledger.states([(rule, self.window(rule)) for rule in rules], ms):
            self.pools.pool(state.rule, state.window).see(state, ms)

    async def take(self, pools: Sequence[Pool], amounts: Amounts) -> list[Share] | Refusal:
        """Reserve amounts in pools: in all of them or in none. What is missing there is borrowed.

        Raises:
            StoreFailed: The ledger is needed and cannot be used.
        """
        if self._loans:
            pools = await self._wait_for_loans(pools, amounts)
        ms = self._clock.ms()
        if self._has_dropped(ms):
            pools = self.pools_of([pool.rule for pool in pools])
        if ms >= self._ledger.runs_until:
            self.pools.surrender(Unit.RUNS)
        outcome = self.pools.take(pools, amounts, ms)
        if isinstance(outcome, Refusal):
            return outcome
        shares, asks = outcome
        self._on_take()
        if not asks:
            if refills := self.pools.refills(pools, amounts, ms):
                self._start_loan(refills, self._refill(refills))
            return shares
        # As a task of its own: what is borrowed for a client that has left must not be lost.
        task = self._start_loan(asks, self._borrow(shares, asks, amounts))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._undo)
            raise

    async def sync(self, rows: list[LedgerRow], *, everything: bool = False) -> bool:
        """Add rows to the ledger, return what is not needed, and renew the lease if half of it is over.

        Args:
            rows: The rows. They are removed from this list, and put back at its start if they cannot be written.
            everything: Whether to return all that is borrowed and not reserved.

        Returns:
            Whether there was anything to write.

        Raises:
            StoreFailed: The ledger cannot be written.
        """
        async with self._syncing:
            ms = self._clock.ms()
            self._has_dropped(ms)
            repayments = self.pools.repay(ms, everything=everything)
            is_due = self._lease and self._lease - ms < self._lease_ms // 2
            if not rows and not repayments and not is_due:
                return False
            # As a task of its own: if this one is cancelled, what could not be written must not be lost.
            write = self._start(self._write(rows, rows.copy(), repayments, ms))
            rows.clear()
            await asyncio.shield(write)
            return True

    async def reclaim(self) -> bool:
        """Take back what ended processes have borrowed, and add what they have left to the ledger.

        Returns:
            Whether any had borrowed something.

        Raises:
            StoreFailed: The ledger cannot be used.
        """
        ms = self._reclaimed = self._clock.ms()
        left = read_left_behind(self._outboxes) if self._outboxes else {}
        others = await self._ledger.others(self._worker)
        # A lease that is too long is from before the machine was started again.
        latest, node = ms + self._lease_ms + _SKEW_MS, node_of(self._worker)
        ended = [
            name
            for name, lease in others.items()
            if not ms < lease <= latest or (node_of(name) == node and is_gone(name))
        ]
        for worker in {*left, *ended}:
            await self._ledger.remove_worker(worker, left.get(worker, ()))
            if worker in left and self._outboxes:
                delete_outbox(self._outboxes, worker)
            log.info("ledger.recovered", worker=worker, rows=len(left.get(worker, ())))
        return bool(ended)

    def forget(self) -> None:
        """Drop pools that are not used any more."""
        if self.pools.forget(self._clock.wall(), self._clock.ms()):
            self._covered.clear()

    async def finish(self) -> None:
        """Wait until nothing is being borrowed or written."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def leave(self) -> None:
        """Return the lease, with everything that is still borrowed.

        Raises:
            StoreFailed: The ledger cannot be written.
        """
        if self._lease or self._is_late:
            await self._ledger.remove_worker(self._worker, ())
            self._lease, self._is_late = 0, False

    def _has_dropped(self, ms: int) -> bool:
        """Forget what was borrowed if the lease has ended. Return whether it has."""
        if not self._lease or ms < self._lease:
            return False
        self.pools.drop()
        self._covered.clear()
        self._lease, self._is_late = 0, True
        return True

    async def _begin_again(self) -> None:
        """Return what was lent before the lease ended, so that it does not stay lent with what is borrowed now."""
        async with self._returning:
            if self._is_late:
                await self._ledger.remove_worker(self._worker, ())
                self._is_late = False

    def _start(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work, name="ledger")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _start_loan(self, asks: Sequence[Ask], work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        """Start to borrow. Runs that need the same meanwhile wait for the end."""
        loan = _Loan()
        self._loans |= dict.fromkeys((ask.key for ask in asks), loan)

        def end(task: asyncio.Task[_T]) -> None:
            loan.has_failed = task.cancelled() or task.exception() is not None
            for ask in asks:
                if self._loans.get(ask.key) is loan:
                    del self._loans[ask.key]
            loan.over.set()

        task = self._start(work)
        task.add_done_callback(end)
        return task

    async def _wait_for_loans(self, pools: Sequence[Pool], amounts: Amounts) -> Sequence[Pool]:
        """Wait while something that the pools lack is being borrowed. Return the pools of the same rules then."""
        while True:
            lacking = self.pools.lacking(pools, amounts, self._clock.ms())
            loan = next((self._loans[pool.key] for pool in lacking if pool.key in self._loans), None)
            if loan is None:
                return pools
            with self.pools.waiting(pools, amounts):
                await loan.over.wait()
            pools = self.pools_of([pool.rule for pool in pools])
            if loan.has_failed:  # it may have taken long: now all try at the same time
                return pools

    async def _refill(self, asks: Sequence[Ask]) -> None:
        loan: Sequence[int] | Refusal | None = None
        try:
            loan = await self._ask(asks)
        except StoreFailed as error:  # a run that needs it asks again, and reports this
            log.debug("ledger.no_refill", error=error.message)
        finally:
            self.pools.refill(asks, None if isinstance(loan, Refusal) else loan)

    async def _borrow(self, shares: list[Share], asks: Sequence[Ask], amounts: Amounts) -> list[Share] | Refusal:
        gifts = self.pools.gifts()
        try:
            loan = await self._ask(asks)
            if isinstance(loan, Refusal) and loan.state.held and await self._has_reclaimed():
                loan = await self._ask(asks)
        except BaseException:
            self.pools.put_back(shares)
            raise
        if isinstance(loan, Refusal):
            is_new = gifts == self.pools.gifts()
            self.pools.put_back(shares)
            return self.pools.note_refusal(loan, amounts, self._clock.ms(), is_new=is_new)
        self.pools.add_loan(shares, asks, loan)
        return shares

    async def _ask(self, asks: Sequence[Ask]) -> Sequence[int] | Refusal:
        await self._begin_again()
        ms = self._clock.ms()
        loan = await self._ledger.borrow(self._worker, asks, ms, ms + self._lease_ms)
        if isinstance(loan, Refusal):
            return loan
        self._lease = ms + self._lease_ms
        for state in loan.states:
            self.pools.pool(state.rule, state.window).see(state, ms)
        return loan.granted

    def _undo(self, task: "asyncio.Task[list[Share] | Refusal]") -> None:
        if not task.cancelled() and task.exception() is None and isinstance(shares := task.result(), list):
            self.pools.put_back(shares)

    async def _has_reclaimed(self) -> bool:
        """Take back what ended processes have borrowed, unless that was done just before. Return whether it was."""
        if self._clock.ms() - self._reclaimed < _RECLAIM_MS:
            return False
        return await self.reclaim()

    async def _write(
        self, rows: list[LedgerRow], batch: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int
    ) -> None:
        drops = self.pools.drops
        try:
            await self._begin_again()
            await self._ledger.sync(self._worker, batch, repayments, ms, ms + self._lease_ms)
        except BaseException:
            rows[:0] = batch
            if drops == self.pools.drops:
                self.pools.restore(repayments)
            raise
        self.pools.confirm(repayments)
        self._lease = ms + self._lease_ms
