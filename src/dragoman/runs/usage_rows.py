"""The rows of runs that are not in the ledger yet: of those that have ended, and of open responses."""

import asyncio
from collections.abc import Sequence
from typing import cast

from dragoman.core.messages import JSONObject
from dragoman.core.pricing import nanodollars_of
from dragoman.core.usage_counts import counts_of_calls
from dragoman.limits.pools import Hold
from dragoman.limits.rules import Unit
from dragoman.runs.agent_calls import AgentCalls, used_by
from dragoman.runs.policy import Policy
from dragoman.runs.run import Run
from dragoman.runs.run_usage import count_cut_output, tokens_of, usages_until_now
from dragoman.stores.ledger import LedgerRow
from dragoman.stores.outbox import Outbox

_START_SECONDS = 0.001
"""Seconds from the start of a response to its first row. The first token does not wait for it."""
_REPORT_SECONDS = 0.02
"""The same if no limit counts what it uses. A short response has ended by then, and is written once."""


class UsageRows:
    """Makes the rows of runs, and holds them until they are in the ledger. They are in the outbox at once.

    Args:
        policy: Knows the team of a client.
        outbox: The outbox of this process.

    Attributes:
        ended: The rows of runs that have ended.
    """

    def __init__(self, policy: Policy, outbox: Outbox) -> None:
        self.ended: list[LedgerRow] = []
        self._policy = policy
        self._outbox = outbox
        self._started: dict[str, Run] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._open: dict[str, tuple[Run, LedgerRow]] = {}
        self._closed: dict[str, LedgerRow] = {}
        self._agents: dict[str, AgentCalls] = {}

    def add_agent(self, run: Run, calls: AgentCalls) -> None:
        """Note the calls of an agent's run. Its row is made of them."""
        self._agents[run.id] = calls

    def is_agent(self, run: Run) -> bool:
        """Return whether a run is an agent's, with calls that are priced one by one."""
        return run.id in self._agents

    def note_start(self, run: Run) -> None:
        """Write what a response has used shortly after its start, unless it ends before: then `close_run` does."""
        self._started[run.id] = run
        is_counted = run.reservation is not None and run.reservation.counts_usage
        loop = asyncio.get_running_loop()
        due = loop.time() + (_START_SECONDS if is_counted else _REPORT_SECONDS)
        if self._timer is not None and self._timer.when() > due:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_at(due, self._write_started)

    def note_open(self, run: Run, usages: Sequence[JSONObject] | None = None) -> None:
        """Write what an open response has used until now.

        Args:
            run: The run. Nothing is written if it has reserved nothing, or has ended.
            usages: The usage of each call; None: what the API has counted until now.
        """
        if run.reservation and not run.reservation.settled and not run.ended:
            row = self._row(run, run.reservation, "interrupted", usages)
            self._open[run.id] = run, row
            self._outbox.write(row)

    def note_progress(self) -> None:
        """Write what open responses have used until now: if this process is killed, that is charged."""
        self._write_started()
        for run, row in list(self._open.values()):
            usages = usages_until_now(run)
            if usages and run.id not in self._agents and tokens_of(counts_of_calls(usages)).output > row.tokens.output:
                self.note_open(run, usages)

    def close_run(self, run: Run, hold: Hold) -> None:
        """Write the row of a run that has ended. The run is open no more."""
        self._started.pop(run.id, None)
        self._open.pop(run.id, None)
        if run.status != "succeeded":
            count_cut_output(run)
        row = self._closed[run.id] = self._row(run, hold, run.status)
        run.nanodollars = row.nanodollars
        self._agents.pop(run.id, None)
        self._outbox.write(row)

    def take_closed(self, run: Run, hold: Hold) -> LedgerRow:
        """Return the row of a run that has ended, for `ended`: the caller settles the run. Write it unless it is."""
        if run.id not in self._closed:
            self.close_run(run, hold)
        return self._closed.pop(run.id)

    def shrink(self) -> None:
        """Drop rows from the outbox that are in the ledger, if it is large."""
        self._outbox.shrink(self._unwritten)

    def close(self, *, keep: bool) -> None:
        """Close the outbox, and delete it unless it is still needed. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        self._outbox.close(keep=keep)

    def _write_started(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        started, self._started = self._started, {}
        for run in started.values():
            self.note_open(run)

    def _unwritten(self) -> list[LedgerRow]:
        return [*self.ended, *self._closed.values(), *(row for _, row in self._open.values())]

    def _row(self, run: Run, hold: Hold, status: str, usages: Sequence[JSONObject] | None = None) -> LedgerRow:
        """Return the row of a run, by default with what the API has counted until now."""
        agent = self._agents.get(run.id)
        if agent is not None and agent.is_exact(run):
            counts, nanodollars = counts_of_calls(agent.usages), used_by(agent.calls, Unit.DOLLARS)
        else:
            counts = counts_of_calls(usages or cast("list[JSONObject]", run.calls.usages))
            nanodollars = nanodollars_of(counts, run.model)
        return LedgerRow(
            run=run.id,
            began=hold.began,
            key=run.client,
            team=self._policy.team(run.client),
            model=run.model,
            upstream=run.upstream or "",
            status=status,
            tokens=tokens_of(counts),
            nanodollars=nanodollars,
        )
