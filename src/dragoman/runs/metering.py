"""The meter: reserves what runs may use, settles what they have used, and writes it to the ledger.

Reservations are decided in memory, out of what this process has borrowed; see `dragoman.limits`. What runs have used
is appended to a outbox at once and added to the ledger in batches, together with what is given back.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from pathlib import Path
from typing import cast

import structlog

from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, RunCancelled
from dragoman.core.messages import JSONObject, MessagesRequest, RequestOptions
from dragoman.core.pricing import max_nanodollars, nanodollars_of_calls
from dragoman.core.supervise import SupervisedTask, failures_in
from dragoman.core.warnings import RequestWarning
from dragoman.limits.pools import Amounts, Hold, Pool, Pools, Repayment, Share, split
from dragoman.limits.rules import ALWAYS, Period, Rule, Scope, Unit, Window, window_at
from dragoman.limits.table import Ask, Refusal, RuleState
from dragoman.runs.agent_calls import AgentCalls, used_by
from dragoman.runs.bounds import MIN_OUTPUT, Bound, affordable_output, bound_of
from dragoman.runs.policy import Clock, Policy
from dragoman.runs.refusals import refusal_error
from dragoman.runs.run import Run
from dragoman.runs.run_usage import count_cut_output, tokens_of, usages_until_now
from dragoman.stores.ledger import LedgerRow, SharedLimits
from dragoman.stores.outbox import Outbox, delete_outbox, is_gone, read_left_behind, worker_name

LEASE_MS = 600_000
"""Milliseconds after which a process that hangs loses what it has borrowed. One that has ended loses it at once."""

_SYNC_SECONDS = 0.1
"""Seconds for which rows are collected before they are added to the ledger."""
_RECLAIM_MS = 1000
"""Milliseconds between two looks for processes that have ended."""
_PROGRESS_MS = 1000
"""Milliseconds after which what an open response has used is written to the outbox again."""
_AGENT_INPUT = 10_000
"""Input tokens that an agent reserves at first: its first call has the runtime's own prompt."""
_MAX_LOWERINGS = 3
_MAX_COVERED = 10_000

log = structlog.get_logger("dragoman.limits")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Runs that are admitted: what each has reserved, and its request, which may have been changed to fit.

    Attributes:
        holds: A hold for each run; None: there is no meter.
        bodies: The bodies.
        options: The options of all of them.
        warnings: What was changed.
    """

    holds: Sequence[Hold | None]
    bodies: Sequence[MessagesRequest]
    options: RequestOptions
    warnings: tuple[RequestWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class _Covering:
    """The pools of the rules that cover the runs of a client and a model, as long as `since` <= now < `until`."""

    rules: tuple[Rule, ...]
    pools: Sequence[Pool]
    rates: Sequence[Pool]
    since: float
    until: float


class Meter:
    """Admits runs within their limits and budgets, and records what they use.

    Args:
        shared: The ledger, with the counters that all processes share. The caller closes it.
        policy: The rules.
        outboxes: The directory of the outboxes of all processes that share the ledger; None: a crash may lose what was
            not written.
        clock: The clocks.
        worker: The name of this process among those that borrow.
    """

    def __init__(
        self,
        shared: SharedLimits,
        policy: Policy,
        outboxes: Path | None,
        *,
        clock: Clock | None = None,
        worker: str | None = None,
    ) -> None:
        self.ledger = shared
        self.policy = policy
        self._outboxes = outboxes
        self._clock = clock or Clock()
        self._worker = worker or worker_name()
        self._outbox = Outbox(outboxes, self._worker)
        self._pools = Pools()
        self._windows: dict[Period, Window] = {}
        self._covered: dict[int, _Covering] = {}
        self._open: dict[str, tuple[Run, LedgerRow]] = {}
        self._agents: dict[str, AgentCalls] = {}
        self._progress_at = 0
        self._live = 0
        self._rows: list[LedgerRow] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._lease = 0
        self._reclaimed = -_RECLAIM_MS
        self._changed = asyncio.Event()
        self._syncing = asyncio.Lock()
        self._task = SupervisedTask(self._work, name="ledger", on_failure=_log_failure, max_pause=5.0)

    # For the gateway.

    async def start(self) -> None:
        """Add what ended processes have left to the ledger, and start to write."""
        try:
            await self._reclaim()
        except GatewayError as error:
            log.warning("ledger.unread", error=error.message)
        self._task.start()

    async def aclose(self) -> None:
        """Write everything, and return what was borrowed. Runs have ended before. Idempotent."""
        await self._task.aclose()
        if self._tasks:
            await asyncio.wait(self._tasks)
        is_written = False
        with suppress(GatewayError):
            await self.flush(everything=True)
            if self._lease:
                await self.ledger.remove_worker(self._worker, ())
                self._lease = 0
            is_written = True
        self._outbox.close(keep=not is_written)

    def failures(self) -> Mapping[str, str]:
        """Return why the ledger cannot be written; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._task)

    async def flush(self, *, everything: bool = False) -> None:
        """Add all rows to the ledger now.

        Args:
            everything: Whether to return all that is borrowed and not reserved, too.

        Raises:
            StoreFailed: The ledger cannot be written. The rows stay here.
        """
        async with self._syncing:
            ms = self._clock.ms()
            rows, self._rows = self._rows, []
            repayments = self._pools.repay(ms, everything=everything)
            is_due = self._lease and self._lease - ms < LEASE_MS // 2
            if not rows and not repayments and not is_due:
                return
            # As a task of its own: if this one is cancelled, what could not be written must not be lost.
            write = asyncio.create_task(self._write(rows, repayments, ms), name="ledger-write")
            self._tasks.add(write)
            write.add_done_callback(self._tasks.discard)
            await asyncio.shield(write)
            self._outbox.shrink(self._unwritten)

    async def states(self, scope: Scope | None = None) -> Sequence[RuleState]:
        """Return what is left of every rule, or of those of one scope and of single models in it.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        rules = [
            (rule, self._window(rule))
            for rule in self.policy.all_rules()
            if scope is None or (rule.scope.kind, rule.scope.name) == (scope.kind, scope.name)
        ]
        return await self.ledger.states(rules, self._clock.ms())

    async def look(self, rules: Sequence[Rule]) -> None:
        """Learn what is used of rules before any run needs to know.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        ms = self._clock.ms()
        for state in await self.ledger.states([(rule, self._window(rule)) for rule in rules], ms):
            self._pools.pool(state.rule, state.window).see(state, ms)

    def spent(self, rule: Rule) -> int:
        """Return what is spent of a budget, in nanodollars, as far as this process knows."""
        return self._pools.pool(rule, self._window(rule)).spent

    def renewal(self, rule: Rule) -> datetime:
        """Return when a budget is renewed."""
        return datetime.fromtimestamp(self._window(rule).end, self._clock.zone)

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._clock.wall()

    # For the engine.

    async def admit(
        self, client: str, model: Model, bodies: Sequence[MessagesRequest], options: RequestOptions
    ) -> Admitted:
        """Reserve what the runs of one request may use: under all rules and for all runs, or nothing.

        If the client set no limit of the response and the first one is not affordable, a lower one is set, with a
        warning.

        Raises:
            RateLimited: A limit is reached.
            QuotaExceeded: A budget does not suffice.
            StoreFailed: The ledger is needed and cannot be used.
        """
        admitted = await self._admit(client, model, bodies, options)
        self._live += len(bodies)
        return admitted

    async def _admit(
        self, client: str, model: Model, bodies: Sequence[MessagesRequest], options: RequestOptions
    ) -> Admitted:
        rules = self.policy.rules(client, model.id)
        began = self._clock.wall()
        if not rules:
            return Admitted([Hold(began) for _ in bodies], bodies, options)
        count = len(bodies)
        pools = self._covering(rules).pools
        if options.agent:
            return Admitted(await self._admit_agent(pools, began, bodies, model), bodies, options)
        needs_bound = any(rule.unit in {Unit.TOKENS, Unit.DOLLARS} for rule in rules)
        shares, output = await self._fit(pools, bound_of(bodies[0], model) if needs_bound else None, count)
        if output is None:
            return Admitted(split(shares, count, began), bodies, options)
        lowered = [cast("MessagesRequest", {**body, "max_tokens": output}) for body in bodies]
        return Admitted(split(shares, count, began), lowered, options, (_lowered_warning(output),))

    async def extend(
        self, hold: Hold, rule: Rule, body: MessagesRequest, model: Model, *, is_agent: bool = False
    ) -> tuple[MessagesRequest, tuple[RequestWarning, ...]]:
        """Reserve for a run under one more rule, that of its upstream. It is settled with the hold.

        Returns:
            The body, which may have been changed to fit, and warnings about that.

        Raises:
            GatewayError: As for `admit`.
        """
        pool = self._pools.pool(rule, self._window(rule))
        if any(share.pool is pool for share in hold.shares):
            return body, ()
        if is_agent:  # it reserves the rest before each call
            bound = replace(bound_of(body, model), input=_AGENT_INPUT, output=MIN_OUTPUT, is_default=False)
        else:
            bound = bound_of(body, model)
        shares, output = await self._fit([pool], bound, 1)
        if hold.settled:  # the run was cancelled meanwhile
            self._pools.put_back(shares)
        else:
            hold.shares += shares
        if output is None:
            return body, ()
        return cast("MessagesRequest", {**body, "max_tokens": output}), (_lowered_warning(output),)

    def retract(self, hold: Hold, rule: Rule) -> None:
        """Release what a run has reserved under one rule."""
        given_up = [share for share in hold.shares if share.pool.rule.name == rule.name]
        if not hold.settled:
            hold.shares = [share for share in hold.shares if share not in given_up]
            self._pools.put_back(given_up)

    async def take_request(self, client: str, model: str = "") -> None:
        """Count a request that is no run.

        Raises:
            GatewayError: As for `admit`.
        """
        hold = Hold(self._clock.wall(), await self._take_requests(client, model, 1))
        self._pools.settle(hold, {Unit.REQUESTS: 1})

    async def check_requests(self, client: str, model: str, count: int) -> None:
        """Check that some requests fit now, without counting them: before work for them that takes time.

        Raises:
            GatewayError: As for `admit`.
        """
        self._pools.put_back(await self._take_requests(client, model, count))

    def release(self, holds: Sequence[Hold]) -> None:
        """Release what runs have reserved that were not started."""
        for hold in holds:
            if not hold.settled:
                hold.settled = True
                self._live -= 1
                self._pools.put_back(hold.shares)

    def meter_agent(self, run: Run, model: Model) -> AgentCalls | None:
        """Return what reserves and charges each call of an agent's run; None if the run has reserved nothing."""
        hold = run.reservation
        if hold is None:
            return None
        rules = self.policy.rules(run.client, model.id)
        pools = self._covering(rules).pools if rules else ()
        calls = AgentCalls(
            model, hold, pools, grow=self._grow, error=self._error, on_change=lambda: self._note_open(run)
        )
        self._agents[run.id] = calls
        return calls

    def note_start(self, run: Run) -> None:
        """Note that a response has begun: what the API has counted until now is paid, whatever happens."""
        self._note_open(run)
        self._changed.set()

    def note_progress(self) -> None:
        """Write what open responses have used until now: if this process is killed, that is charged."""
        for run, row in list(self._open.values()):
            usages = usages_until_now(run)
            if usages and run.id not in self._agents and tokens_of(usages).output > row.tokens.output:
                self._note_open(run, usages)

    def note_end(self, run: Run) -> None:
        """Settle a run that has ended. Only the first call does so."""
        hold = run.reservation
        if hold is None or hold.settled:
            return
        self._live -= 1
        self._open.pop(run.id, None)
        if run.status != "succeeded":
            count_cut_output(run)
        row = self._row(run, hold, run.status)
        self._agents.pop(run.id, None)
        self._pools.settle(hold, {Unit.TOKENS: row.tokens.total, Unit.DOLLARS: row.nanodollars})
        self._rows.append(row)
        self._outbox.write(row)
        self._changed.set()

    def tightest(self, client: str, model: str) -> list[tuple[Rule, int]]:
        """Return the limits on requests and on tokens per minute with the least left, and how much is left of each."""
        rules = self.policy.rules(client, model)
        if not rules:
            return []
        ms = self._clock.ms()
        found: dict[Unit, tuple[Rule, int]] = {}
        for pool in self._covering(rules).rates:
            remaining = pool.remaining(ms)
            known = found.get(pool.rule.unit)
            if known is None or remaining < known[1]:
                found[pool.rule.unit] = pool.rule, remaining
        return list(found.values())

    # The rest is the meter's own.

    async def _take_requests(self, client: str, model: str, count: int) -> list[Share]:
        rules = [rule for rule in self.policy.rules(client, model) if rule.unit is Unit.REQUESTS]
        if not rules:
            return []
        outcome = await self._take(self._pools_of(rules), {Unit.REQUESTS: count})
        if isinstance(outcome, Refusal):
            raise self._error(outcome)
        return outcome

    async def _fit(self, pools: Sequence[Pool], bound: Bound | None, count: int) -> tuple[list[Share], int | None]:
        """Reserve for some runs. If that is too much, and the client chose no limit of the response, lower it.

        Returns:
            What is reserved, and the limit of each response if it was lowered.
        """
        first = bound
        for attempt in range(_MAX_LOWERINGS):
            outcome = await self._take(pools, _amounts(bound, count))
            if not isinstance(outcome, Refusal):
                return outcome, bound.output if bound and bound is not first else None
            state = outcome.state
            lower = affordable_output(bound, state.rule.unit, state.remaining // count) if bound else None
            if bound is None or lower is None or attempt == _MAX_LOWERINGS - 1:
                raise self._error(outcome)
            bound = replace(bound, output=lower)
        raise RuntimeError("The last attempt returns or raises.")

    async def _admit_agent(
        self, pools: Sequence[Pool], began: float, bodies: Sequence[MessagesRequest], model: Model
    ) -> Sequence[Hold]:
        """Reserve a slice for agents: about one call. Before each call they reserve more; see `AgentCalls`."""
        slice_ = max_nanodollars(model.id, _AGENT_INPUT, MIN_OUTPUT)
        outcome = await self._take(pools, _agent_amounts(slice_, len(bodies)))
        if isinstance(outcome, Refusal):
            raise self._error(outcome)
        return split(outcome, len(bodies), began)

    def _error(self, refusal: Refusal) -> GatewayError:
        return refusal_error(refusal, self._clock.wall(), self._clock.zone)

    def _covering(self, rules: tuple[Rule, ...]) -> "_Covering":
        """Return the pools of the rules of a client and a model. They are the same until a window ends."""
        now = self._clock.wall()
        known = self._covered.get(id(rules))
        if known is None or known.rules is not rules or not known.since <= now < known.until:
            if len(self._covered) >= _MAX_COVERED:
                self._covered.clear()
            pools = self._pools_of(rules)
            windows = [pool.window for pool in pools if pool.window.end]
            since = max((window.start for window in windows), default=-inf)
            until = min((window.end for window in windows), default=inf)
            rates = [pool for pool in pools if pool.rule.is_rate]
            known = self._covered[id(rules)] = _Covering(rules, pools, rates, since, until)
        return known

    def _pools_of(self, rules: Sequence[Rule]) -> list[Pool]:
        return [self._pools.pool(rule, self._window(rule)) for rule in rules]

    def _window(self, rule: Rule) -> Window:
        period = rule.period
        if period is None:
            return ALWAYS
        now = self._clock.wall()
        window = self._windows.get(period)
        if window is None or not window.start <= now < window.end:
            window = self._windows[period] = window_at(period, now, self._clock.zone)
        return window

    async def _take(self, pools: Sequence[Pool], amounts: Amounts) -> list[Share] | Refusal:
        ms = self._clock.ms()
        if self._lease and ms >= self._lease:
            self._pools.drop()
            self._covered.clear()
            self._lease = 0
            pools = self._pools_of([pool.rule for pool in pools])
        outcome = self._pools.take(pools, amounts, ms)
        if isinstance(outcome, Refusal):
            return outcome
        shares, asks = outcome
        self._changed.set()
        if not asks:
            return shares
        # As a task of its own: what is borrowed for a client that has left must not be lost.
        task = asyncio.create_task(self._borrow(shares, asks, amounts), name="borrow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._undo)
            raise

    async def _borrow(self, shares: list[Share], asks: Sequence[Ask], amounts: Amounts) -> list[Share] | Refusal:
        gifts = self._pools.gifts()
        try:
            loan = await self._ask(asks)
            if isinstance(loan, Refusal) and loan.state.held and await self._has_reclaimed():
                loan = await self._ask(asks)
        except BaseException:
            self._pools.put_back(shares)
            raise
        if isinstance(loan, Refusal):
            is_new = gifts == self._pools.gifts()
            self._pools.put_back(shares)
            return self._pools.note_refusal(loan, amounts, self._clock.ms(), is_new=is_new)
        self._pools.add_loan(shares, asks, loan)
        return shares

    async def _ask(self, asks: Sequence[Ask]) -> Sequence[int] | Refusal:
        ms = self._clock.ms()
        loan = await self.ledger.borrow(self._worker, asks, ms, ms + LEASE_MS)
        if isinstance(loan, Refusal):
            return loan
        self._lease = ms + LEASE_MS
        for state in loan.states:
            self._pools.pool(state.rule, state.window).see(state, ms)
        return loan.granted

    def _undo(self, task: "asyncio.Task[list[Share] | Refusal]") -> None:
        if not task.cancelled() and task.exception() is None and isinstance(shares := task.result(), list):
            self._pools.put_back(shares)

    async def _has_reclaimed(self) -> bool:
        """Take back what ended processes have borrowed, unless that was done just before. Return whether it was."""
        if self._clock.ms() - self._reclaimed < _RECLAIM_MS:
            return False
        return await self._reclaim()

    async def _reclaim(self) -> bool:
        ms = self._reclaimed = self._clock.ms()
        left = read_left_behind(self._outboxes) if self._outboxes else {}
        others = await self.ledger.others(self._worker)
        # A lease that is too long is from before the machine was started again.
        ended = [name for name, lease in others.items() if not ms < lease <= ms + LEASE_MS or is_gone(name)]
        for worker in {*left, *ended}:
            await self.ledger.remove_worker(worker, left.get(worker, ()))
            if worker in left and self._outboxes:
                delete_outbox(self._outboxes, worker)
            log.info("ledger.recovered", worker=worker, rows=len(left.get(worker, ())))
        return bool(ended)

    async def _write(self, rows: list[LedgerRow], repayments: Sequence[Repayment], ms: int) -> None:
        try:
            await self.ledger.sync(self._worker, rows, repayments, ms, ms + LEASE_MS)
        except BaseException:
            self._rows[:0] = rows
            self._pools.restore(repayments)
            raise
        self._lease = ms + LEASE_MS

    async def _work(self) -> None:
        """Write as long as there is something to write or to return; then wait."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SYNC_SECONDS)
            if (ms := self._clock.ms()) - self._progress_at >= _PROGRESS_MS:
                self._progress_at = ms
                self.note_progress()
            await self.flush()
            self._task.recovered()
            if self._pools.forget(self._clock.wall(), self._clock.ms()):
                self._covered.clear()
            if not self._rows and not self._live and not self._pools.has_loans:
                self._changed.clear()

    def _note_open(self, run: Run, usages: Sequence[JSONObject] | None = None) -> None:
        if run.reservation and not run.reservation.settled:
            row = self._row(run, run.reservation, "interrupted", usages)
            self._open[run.id] = run, row
            self._outbox.write(row)

    async def _grow(self, hold: Hold, pools: Sequence[Pool], amounts: Amounts) -> Refusal | None:
        """Reserve more for a run, or nothing if it is refused or has ended.

        Raises:
            RunCancelled: The run has ended meanwhile.
            StoreFailed: The ledger is needed and cannot be used.
        """
        outcome = await self._take(pools, amounts)
        if isinstance(outcome, Refusal):
            return outcome
        if hold.settled:
            self._pools.put_back(outcome)
            raise RunCancelled("The run has ended.")
        self._pools.add_shares(hold, outcome)
        return None

    def _unwritten(self) -> list[LedgerRow]:
        return [*self._rows, *(row for _, row in self._open.values())]

    def _row(self, run: Run, hold: Hold, status: str, usages: Sequence[JSONObject] | None = None) -> LedgerRow:
        """Return the row of a run, by default with what the API has counted until now."""
        agent = self._agents.get(run.id)
        if agent is not None and agent.is_exact(run):
            tokens, nanodollars = tokens_of(agent.usages), used_by(agent.calls, Unit.DOLLARS)
        else:
            usages = usages or cast("list[JSONObject]", run.calls.usages)
            tokens, nanodollars = tokens_of(usages), nanodollars_of_calls(usages, run.model)
        return LedgerRow(
            run=run.id,
            began=hold.began,
            key=run.client,
            team=self.policy.team(run.client),
            model=run.model,
            upstream=run.upstream or "",
            status=status,
            tokens=tokens,
            nanodollars=nanodollars,
        )


def _amounts(bound: Bound | None, count: int) -> Amounts:
    amounts = {Unit.REQUESTS: count, Unit.RUNS: count}
    if bound:
        amounts |= {Unit.TOKENS: bound.tokens * count, Unit.DOLLARS: bound.nanodollars * count}
    return amounts


def _agent_amounts(nanodollars: int, count: int) -> Amounts:
    return {Unit.REQUESTS: count, Unit.RUNS: count, Unit.DOLLARS: nanodollars * count}


def _lowered_warning(output: int) -> RequestWarning:
    detail = f"Limits and budgets leave {output} tokens for this response; that limit was sent."
    return RequestWarning("clamped", "max_tokens", detail)


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("ledger.unwritten", error=str(error), retry_in=pause)
