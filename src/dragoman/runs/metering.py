"""The meter: reserves what runs may use, settles what they have used, and writes it to the ledger.

Reservations are decided in memory, out of what this process has borrowed; see `dragoman.runs.borrowing`. What runs have
used is appended to an outbox at once and added to the ledger in batches; see `dragoman.runs.usage_rows`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import cast

from dragoman.core import log
from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, RunCancelled
from dragoman.core.messages import MessagesRequest, RequestOptions
from dragoman.core.pricing import max_nanodollars
from dragoman.core.supervise import SupervisedTask, failures_in
from dragoman.core.value_object import replace, value_object
from dragoman.core.warnings import RequestWarning
from dragoman.limits.pools import Amounts, Hold, Pool, Share, split, tightest
from dragoman.limits.rules import Rule, Scope, Unit
from dragoman.limits.table import Refusal, RuleState
from dragoman.runs.agent_calls import AgentCalls
from dragoman.runs.borrowing import LEASE_MS, Borrower
from dragoman.runs.bounds import MIN_OUTPUT, Bound, affordable_output, bound_of
from dragoman.runs.policy import Clock, Policy
from dragoman.runs.refusals import refusal_error
from dragoman.runs.run import Run
from dragoman.runs.usage_rows import UsageRows
from dragoman.stores.ledger import SharedLimits
from dragoman.stores.outbox import Outbox, node_of, worker_name

_SYNC_SECONDS = 0.25
"""Seconds for which rows are collected before they are added to the ledger."""
_PROGRESS_MS = 1000
"""Milliseconds after which what an open response has used is written to the outbox again."""
_AGENT_INPUT = 10_000
"""Input tokens that an agent reserves at first: its first call has the runtime's own prompt."""
_MAX_LOWERINGS = 3


@value_object
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


class Meter:
    """Admits runs within their limits and budgets, and records what they use.

    Args:
        shared: The ledger, with the counters that all processes share. The caller closes it.
        policy: The rules.
        outboxes: The directory of the outboxes of all processes that share the ledger; None: a crash may lose what was
            not written.
        clock: The clocks.
        worker: The name of this process among those that borrow. If it names a node, each call of the API has a row in
            the outbox before it is made: otherwise one whose process is killed before its response begins has none.
        lease: See `Borrower`.

    Attributes:
        note_call: Notes that a request is sent; None: that is not noted.
    """

    def __init__(
        self,
        shared: SharedLimits,
        policy: Policy,
        outboxes: Path | None,
        *,
        clock: Clock | None = None,
        worker: str | None = None,
        lease: int = LEASE_MS,
    ) -> None:
        self.ledger = shared
        self.policy = policy
        self._clock = clock or Clock()
        self._changed = asyncio.Event()
        worker = worker or worker_name()
        self._borrower = Borrower(shared, worker, outboxes, self._clock, self._changed.set, lease=lease)
        self._pools = self._borrower.pools
        self._rows = UsageRows(policy, Outbox(outboxes, worker))
        self.note_call: Callable[[Run], None] | None = self._rows.note_open if node_of(worker) else None
        self._progress_at = 0
        self._live = 0
        self._task = SupervisedTask(self._work, name="ledger", on_failure=_log_failure, max_pause=5.0)

    # For the gateway.

    async def start(self) -> None:
        """Add what ended processes have left to the ledger, and start to write."""
        try:
            await self._borrower.reclaim()
        except GatewayError as error:
            log.warning("ledger.unread", error=error.message)
        self._task.start()

    async def aclose(self) -> None:
        """Write everything, and return what was borrowed. Runs have ended before. Idempotent."""
        await self._task.aclose()
        await self._borrower.finish()
        is_written = False
        with suppress(GatewayError):
            await self.flush(everything=True)
            await self._borrower.leave()
            is_written = True
        self._rows.close(keep=not is_written)

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
        if await self._borrower.sync(self._rows.ended, everything=everything):
            self._rows.shrink()

    async def states(self, scope: Scope | None = None) -> Sequence[RuleState]:
        """Return what is left of every rule, or of those of one scope and of single models in it.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        rules = [
            (rule, self._borrower.window(rule))
            for rule in self.policy.all_rules()
            if scope is None or (rule.scope.kind, rule.scope.name) == (scope.kind, scope.name)
        ]
        return await self.ledger.states(rules, self._clock.ms())

    async def look(self, rules: Sequence[Rule]) -> None:
        """Learn what is used of rules before any run needs to know.

        Raises:
            StoreFailed: The ledger cannot be read.
        """
        await self._borrower.look(rules)

    def spent(self, rule: Rule) -> int:
        """Return what is spent of a budget, in nanodollars, as far as this process knows."""
        return self._borrower.pool(rule).spent

    def renewal(self, rule: Rule) -> datetime:
        """Return when a budget is renewed."""
        return datetime.fromtimestamp(self._borrower.window(rule).end, self._clock.zone)

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
        covering = self._borrower.covering(rules)
        if options.agent:
            return Admitted(await self._admit_agent(covering.pools, began, bodies, model), bodies, options)
        bound = bound_of(bodies[0], model) if covering.needs_bound else None
        shares, output = await self._fit(covering.pools, bound, count)
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
        pool = self._borrower.pool(rule)
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
        pools = self._borrower.covering(rules).pools if rules else ()
        calls = AgentCalls(
            model, hold, pools, grow=self._grow, error=self._error, on_change=lambda: self._rows.note_open(run)
        )
        self._rows.add_agent(run, calls)
        return calls

    def note_start(self, run: Run) -> None:
        """Note that a response has begun: what the API has counted until now is paid, whatever happens."""
        self._rows.note_start(run)
        self._changed.set()

    def note_progress(self) -> None:
        """Write what open responses have used until now: if this process is killed, that is charged."""
        self._rows.note_progress()

    def note_result(self, run: Run) -> None:
        """Note that a run has ended, before its client has the response: what limits count survives a crash then.

        A response is settled by `note_end`, shortly after it was sent. Everything else is settled now: others wait for
        it, or its price is special.
        """
        hold = run.reservation
        if run.status != "succeeded" or self._rows.is_agent(run):
            self.note_end(run)
        elif hold is not None and hold.counts_usage and not hold.settled:
            self._rows.close_run(run, hold)

    def note_end(self, run: Run) -> None:
        """Settle a run that has ended. Only the first call does so."""
        hold = run.reservation
        if hold is None or hold.settled:
            return
        self._live -= 1
        row = self._rows.take_closed(run, hold)
        self._pools.settle(hold, {Unit.TOKENS: row.tokens.total, Unit.DOLLARS: row.nanodollars})
        self._rows.ended.append(row)
        self._changed.set()

    def tightest(self, client: str, model: str) -> list[tuple[Rule, int]]:
        """Return the limits on requests and on tokens per minute with the least left, and how much is left of each."""
        rules = self.policy.rules(client, model)
        if not rules:
            return []
        ms = self._clock.ms()
        return [tightest(pools, ms) for pools in self._borrower.covering(rules).rates]

    # The rest is the meter's own.

    async def _take_requests(self, client: str, model: str, count: int) -> list[Share]:
        rules = [rule for rule in self.policy.rules(client, model) if rule.unit is Unit.REQUESTS]
        if not rules:
            return []
        outcome = await self._borrower.take(self._borrower.pools_of(rules), {Unit.REQUESTS: count})
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
            outcome = await self._borrower.take(pools, _amounts(bound, count))
            if not isinstance(outcome, Refusal):
                return outcome, bound.output if bound and bound is not first else None
            state = outcome.state
            lower = affordable_output(bound, state.rule.unit, state.remaining // count) if bound else None
            if bound is None or lower is None or attempt == _MAX_LOWERINGS - 1:
                raise self._error(outcome)
            bound = replace(bound, output=lower)
            self._pools.reclaim(pools)
        raise RuntimeError("The last attempt returns or raises.")

    async def _admit_agent(
        self, pools: Sequence[Pool], began: float, bodies: Sequence[MessagesRequest], model: Model
    ) -> Sequence[Hold]:
        """Reserve a slice for agents: about one call. Before each call they reserve more; see `AgentCalls`."""
        slice_ = max_nanodollars(model.id, _AGENT_INPUT, MIN_OUTPUT)
        outcome = await self._borrower.take(pools, _agent_amounts(slice_, len(bodies)))
        if isinstance(outcome, Refusal):
            raise self._error(outcome)
        return split(outcome, len(bodies), began)

    def _error(self, refusal: Refusal) -> GatewayError:
        return refusal_error(refusal, self._clock.wall(), self._clock.zone)

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
            self._borrower.forget()
            if not self._rows.ended and not self._live and not self._pools.has_loans:
                self._changed.clear()

    async def _grow(self, hold: Hold, pools: Sequence[Pool], amounts: Amounts) -> Refusal | None:
        """Reserve more for a run, or nothing if it is refused or has ended.

        Raises:
            RunCancelled: The run has ended meanwhile.
            StoreFailed: The ledger is needed and cannot be used.
        """
        outcome = await self._borrower.take(pools, amounts)
        if isinstance(outcome, Refusal):
            return outcome
        if hold.settled:
            self._pools.put_back(outcome)
            raise RunCancelled("The run has ended.")
        self._pools.add_shares(hold, outcome)
        return None


def _amounts(bound: Bound | None, count: int) -> Amounts:
    if bound is None:
        return {Unit.REQUESTS: count, Unit.RUNS: count}
    tokens, nanodollars = bound.tokens * count, bound.nanodollars * count
    return {Unit.REQUESTS: count, Unit.RUNS: count, Unit.TOKENS: tokens, Unit.DOLLARS: nanodollars}


def _agent_amounts(nanodollars: int, count: int) -> Amounts:
    return {Unit.REQUESTS: count, Unit.RUNS: count, Unit.DOLLARS: nanodollars * count}


def _lowered_warning(output: int) -> RequestWarning:
    detail = f"Limits and budgets leave {output} tokens for this response; that limit was sent."
    return RequestWarning("clamped", "max_tokens", detail)


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("ledger.unwritten", error=str(error), retry_in=pause)
