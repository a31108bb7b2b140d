"""Limits and budgets of several workers: a state machine of reservations, settlements, crashes and clock steps."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragoman.core.errors import StoreFailed
from dragoman.limits.pools import Hold, Pools
from dragoman.limits.rules import ALWAYS, MS_PER_MINUTE, Period, Rule, Scope, ScopeKind, Unit, Window, window_at
from dragoman.limits.table import Refusal
from dragoman.stores.ledger import LedgerRow, Loan
from dragoman.testing.memory_limits import MemoryLimits

NOON = 1_790_000_000.0
TEAM = Scope(ScopeKind.TEAM, "web")
RUNS = Rule(TEAM, Unit.RUNS, 3)
REQUESTS = Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 6)
TOKENS = Rule(Scope(ScopeKind.GATEWAY), Unit.TOKENS, 2_000)
MONTHLY = Rule(TEAM, Unit.DOLLARS, 5_000, Period.MONTH)
DAILY = {key: Rule(Scope(ScopeKind.KEY, key), Unit.DOLLARS, 900, Period.DAY) for key in ("ann", "bob")}
WORKERS = st.sampled_from(["one", "two", "three", "four"])
LEASE = 10**9


@dataclass
class Open:
    """A run that has not ended: what it holds, and what the API has counted."""

    worker: str
    key: str
    hold: Hold
    limit: Counter[Unit]
    used: Counter[Unit] = field(default_factory=Counter)


@dataclass
class Worker:
    """One process: its pools, and its rows that are in no ledger. Only the rows survive its end."""

    pools: Pools = field(default_factory=Pools)
    rows: list[LedgerRow] = field(default_factory=list)


class LimitMachine(RuleBasedStateMachine):
    """Two keys of one team on four workers. The API counts what every run has cost."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = MemoryLimits()
        self.ms, self.wall = 0, NOON
        self.workers: dict[str, Worker] = {name: Worker() for name in ("one", "two", "three", "four")}
        self.dead: list[tuple[str, list[LedgerRow]]] = []
        self.open: dict[str, Open] = {}
        self.api: dict[str, tuple[str, float, int]] = {}
        self.requests: list[int] = []
        self.count = 0

    def window(self, of: Rule) -> Window:
        """Return the current window of a rule."""
        return window_at(of.period, self.wall) if of.period else ALWAYS

    def spent(self, of: Rule) -> int:
        """Return what the API has counted in the current window of a budget, whether it is recorded or not."""
        window = self.window(of)
        return sum(
            cost
            for key, began, cost in self.api.values()
            if window.start <= began < window.end and of.scope.name in {key, "web"}
        )

    @rule(worker=WORKERS, key=st.sampled_from(sorted(DAILY)), tokens=st.integers(1, 900), dollars=st.integers(1, 400))
    def begin(self, worker: str, key: str, tokens: int, dollars: int) -> None:
        """Start a run, if all rules admit it."""
        pools = self.workers[worker].pools
        rules = [pools.pool(one, self.window(one)) for one in (RUNS, REQUESTS, TOKENS, MONTHLY, DAILY[key])]
        limit = Counter({Unit.REQUESTS: 1, Unit.RUNS: 1, Unit.TOKENS: tokens, Unit.DOLLARS: dollars})
        outcome = pools.take(rules, limit, self.ms)
        if isinstance(outcome, Refusal):
            return
        shares, asks = outcome
        if asks:
            try:
                loan = self.shared.borrow_now(worker, asks, self.ms, LEASE)
            except StoreFailed:
                pools.put_back(shares)
                return
            if isinstance(loan, Refusal):
                pools.put_back(shares)
                pools.note_refusal(loan, limit, self.ms)
                return
            assert isinstance(loan, Loan)
            pools.add_loan(shares, asks, loan.granted)
        self.count += 1
        run = f"run-{self.count}"
        self.open[run] = Open(worker, key, Hold(self.wall, shares), limit)
        self.api[run] = key, self.wall, 0
        self.requests.append(self.ms)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def respond(self, data: st.DataObject) -> None:
        """Have the API count more for a run, within its limit. The worker writes it down."""
        run = data.draw(st.sampled_from(sorted(self.open)))
        one = self.open[run]
        for unit in (Unit.TOKENS, Unit.DOLLARS):
            one.used[unit] = data.draw(st.integers(one.used[unit], one.limit[unit]))
        self.api[run] = one.key, one.hold.began, one.used[Unit.DOLLARS]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), times=st.integers(1, 3))
    def end(self, data: st.DataObject, times: int) -> None:
        """End a run: complete, cut or failed. The end may be reported several times."""
        run = data.draw(st.sampled_from(sorted(self.open)))
        one = self.open.pop(run)
        worker = self.workers[one.worker]
        for _ in range(times):
            worker.pools.settle(one.hold, one.used)
            worker.rows.append(self.row(run))

    @rule(worker=WORKERS, everything=st.booleans())
    def flush(self, worker: str, *, everything: bool) -> None:
        """Write the rows of a worker and return what it does not need, or fail."""
        one = self.workers[worker]
        repayments = one.pools.repay(self.ms, everything=everything)
        try:
            self.shared.sync_now(worker, one.rows, repayments, self.ms, LEASE)
        except StoreFailed:
            one.pools.restore(repayments)
        else:
            one.rows = []

    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        """Kill a worker with its runs. What it has written down is found later. Another one takes its place."""
        name = f"{worker}-{self.count}-{len(self.dead)}"
        killed = {run for run, one in self.open.items() if one.worker == worker}
        rows = [*self.workers[worker].rows, *(self.row(run) for run in killed)]
        for run in killed:
            del self.open[run]
        self.dead.append((name, rows))
        loans = self.shared.loans
        self.shared.loans = Counter({(name if who == worker else who, key): n for (who, key), n in loans.items()})
        self.workers[worker] = Worker()

    @rule()
    def recover(self) -> None:
        """Find what dead workers have left."""
        if self.dead and not self.shared.away:
            name, rows = self.dead.pop()
            self.shared.remove_worker_now(name, rows)

    @rule(away=st.booleans())
    def disconnect(self, *, away: bool) -> None:
        """Take the database away, or bring it back."""
        self.shared.away = away

    @rule(seconds=st.floats(0, 100_000), step=st.integers(-90_000, 90_000))
    def wait(self, seconds: float, step: int) -> None:
        """Let time pass. The wall clock may be set in addition."""
        self.ms += int(seconds * 1000)
        self.wall += seconds + step
        for worker in self.workers.values():
            worker.pools.forget(self.wall, self.ms)

    def row(self, run: str) -> LedgerRow:
        """Return the row of a run, as the API has counted it."""
        key, began, cost = self.api[run]
        return LedgerRow(run=run, began=began, key=key, team="web", nanodollars=cost)

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        """By not one nanodollar: what the API has counted, and what runs may still cost."""
        for budget in (MONTHLY, *DAILY.values()):
            window = self.window(budget)
            may_cost = sum(
                one.limit[Unit.DOLLARS] - one.used[Unit.DOLLARS]
                for one in self.open.values()
                if budget.scope.name in {one.key, "web"} and window.start <= one.hold.began < window.end
            )
            assert self.spent(budget) + may_cost <= budget.amount

    @invariant()
    def no_more_runs_and_requests_than_allowed(self) -> None:
        """At once, and in a minute after a full bucket."""
        assert len(self.open) <= RUNS.amount
        level, updated = REQUESTS.amount * MS_PER_MINUTE, 0
        for ms in self.requests:
            level = min(REQUESTS.amount * MS_PER_MINUTE, level + (ms - updated) * REQUESTS.amount) - MS_PER_MINUTE
            updated = ms
            assert level >= 0

    def teardown(self) -> None:
        """When all has ended nothing is blocked, and the ledger is what the API has counted."""
        self.shared.away = False
        for run, one in self.open.items():
            self.workers[one.worker].pools.settle(one.hold, one.used)
            self.workers[one.worker].rows.append(self.row(run))
        for worker in self.workers:
            self.flush(worker, everything=True)
        for name, rows in self.dead:
            self.shared.remove_worker_now(name, rows)
        assert {run: row.nanodollars for run, row in self.shared.rows.items()} == {
            run: cost for run, (_, _, cost) in self.api.items()
        }
        rules = (RUNS, REQUESTS, TOKENS, MONTHLY, *DAILY.values())
        states = self.shared.states_now([(one, self.window(one)) for one in rules], self.ms + MS_PER_MINUTE)
        for state in states:
            assert state.held == 0
            spent = self.spent(state.rule) if state.rule.period else 0
            assert state.remaining == state.rule.amount - spent


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
pytest.mark.no_cover(TestLimitMachine)
