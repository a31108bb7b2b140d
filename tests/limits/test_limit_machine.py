"""Limits and budgets of several workers: a state machine of reservations, settlements, crashes and clock steps."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from engine_fixtures import RedisProcess
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from dragoman.core.errors import StoreFailed
from dragoman.limits.pools import Hold, Pools, Repayment
from dragoman.limits.rules import ALWAYS, MS_PER_MINUTE, Period, Rule, Scope, ScopeKind, Unit, Window, window_at
from dragoman.limits.table import Ask, Refusal, RuleState
from dragoman.stores.ledger import LedgerRow, Loan
from dragoman.stores.redis.limits import RedisLimits, RedisLimitsOptions
from dragoman.stores.redis.server import RedisAwayError, RedisServer, Script, Value
from dragoman.testing.memory_limits import MemoryLimits

NOON = 1_790_000_000.0
TEAM = Scope(ScopeKind.TEAM, "web")
RUNS = Rule(TEAM, Unit.RUNS, 2)
REQUESTS = Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 4)
TOKENS = Rule(Scope(ScopeKind.GATEWAY), Unit.TOKENS, 2_000)
MONTHLY = Rule(TEAM, Unit.DOLLARS, 5_000, Period.MONTH)
DAILY = {key: Rule(Scope(ScopeKind.KEY, key), Unit.DOLLARS, 900, Period.DAY) for key in ("ann", "bob")}
WORKERS = st.sampled_from(["one", "two", "three", "four"])
LEASE = 10**13


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
    """One process: its name among all, its pools, and its rows that are in no ledger. Only the rows survive its end."""

    name: str
    pools: Pools = field(default_factory=Pools)
    rows: list[LedgerRow] = field(default_factory=list)


class LimitMachine(RuleBasedStateMachine):
    """Two keys of one team on four workers. The API counts what every run has cost."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = MemoryLimits()
        self.names = count()
        self.ms, self.wall = 0, NOON
        self.workers: dict[str, Worker] = {name: self.worker(name) for name in ("one", "two", "three", "four")}
        self.dead: list[tuple[str, list[LedgerRow]]] = []
        self.open: dict[str, Open] = {}
        self.api: dict[str, tuple[str, float, int]] = {}
        self.requests: list[int] = []
        self.count = 0

    def worker(self, name: str) -> Worker:
        """Start a worker."""
        return Worker(f"{name}-{next(self.names)}")

    def borrow(self, worker: str, asks: Sequence[Ask]) -> Loan | Refusal:
        """Borrow for the worker of a name among the four."""
        return self.shared.borrow_now(self.workers[worker].name, asks, self.ms, LEASE)

    def sync(self, worker: str, repayments: Sequence[Repayment]) -> None:
        """Write the rows of a worker, and what it repays."""
        one = self.workers[worker]
        self.shared.sync_now(one.name, one.rows, repayments, self.ms, LEASE)

    def remove(self, name: str, rows: Sequence[LedgerRow]) -> None:
        """Take back what a dead worker has borrowed."""
        self.shared.remove_worker_now(name, rows)

    def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """Return what is left of rules."""
        return self.shared.states_now(rules, ms)

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
                loan = self.borrow(worker, asks)
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
            self.sync(worker, repayments)
        except StoreFailed:
            one.pools.restore(repayments)
        else:
            one.rows = []

    @rule(worker=WORKERS)
    def crash(self, worker: str) -> None:
        """Kill a worker with its runs. What it has written down is found later. Another one takes its place."""
        name = self.workers[worker].name
        killed = {run for run, one in self.open.items() if one.worker == worker}
        rows = [*self.workers[worker].rows, *(self.row(run) for run in killed)]
        for run in killed:
            del self.open[run]
        self.dead.append((name, rows))
        self.workers[worker] = self.worker(worker)

    @rule()
    def recover(self) -> None:
        """Find what dead workers have left."""
        if self.dead and not self.shared.away:
            name, rows = self.dead.pop()
            self.remove(name, rows)

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
            self.remove(name, rows)
        assert {run: row.nanodollars for run, row in self.shared.rows.items()} == {
            run: cost for run, (_, _, cost) in self.api.items()
        }
        rules = (RUNS, REQUESTS, TOKENS, MONTHLY, *DAILY.values())
        states = self.states([(one, self.window(one)) for one in rules], self.ms + MS_PER_MINUTE)
        for state in states:
            assert state.held == 0
            spent = self.spent(state.rule) if state.rule.period else 0
            assert state.remaining == state.rule.amount - spent


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
pytest.mark.no_cover(TestLimitMachine)


_T = TypeVar("_T")


class UnreliableRedis(RedisServer):
    """A Redis server that may be away for one call, whose reply is lost, or that gets it too late."""

    network = "works"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.delayed: list[tuple[Script, Sequence[str], Sequence[Value]]] = []

    async def run_if_loaded(self, script: Script, keys: Sequence[str], values: Sequence[Value] = ()) -> Any:
        """Run a script, perhaps without a reply."""
        network, self.network = self.network, "works"
        if network == "delays":
            self.delayed.append((script, keys, values))
        if network in {"is cut", "delays"}:
            raise RedisAwayError
        reply = await super().run_if_loaded(script, keys, values)
        while self.delayed:
            await super().run_if_loaded(*self.delayed.pop())
        if network == "loses the reply":
            raise RedisAwayError
        return reply


class RedisLimitMachine(LimitMachine):
    """The same on four nodes, with limits in a Redis server that loses everything now and then, or is away."""

    def __init__(self, process: RedisProcess) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = UnreliableRedis(process.url)
        self.is_new = True
        self.nodes: dict[str, RedisLimits] = {}
        self.wait_for(self.server.execute("FLUSHALL"))
        super().__init__()

    def wait_for(self, call: Coroutine[None, None, _T]) -> _T:
        """Return the result of a call."""
        return self.loop.run_until_complete(call)

    async def is_first(self) -> bool:
        """Return whether there has never been a state."""
        was_new, self.is_new = self.is_new, False
        return was_new

    def worker(self, name: str) -> Worker:
        """Start a worker, with a connection of its own."""
        worker = super().worker(name)
        options = RedisLimitsOptions(
            lease_ms=LEASE, is_first=self.is_first, first_wait=0, beat_seconds=None, uses_server_clock=False
        )
        self.nodes[worker.name] = RedisLimits(self.shared, self.server, lambda: self.ms, options)
        return worker

    def node(self, worker: str) -> RedisLimits:
        """Return the node of a worker."""
        return self.nodes[self.workers[worker].name]

    def borrow(self, worker: str, asks: Sequence[Ask]) -> Loan | Refusal:
        """Borrow."""
        return self.wait_for(self.node(worker).borrow(self.workers[worker].name, asks, self.ms, LEASE))

    def sync(self, worker: str, repayments: Sequence[Repayment]) -> None:
        """Write and repay."""
        one = self.workers[worker]
        self.wait_for(self.node(worker).sync(one.name, one.rows, repayments, self.ms, LEASE))

    def remove(self, name: str, rows: Sequence[LedgerRow]) -> None:
        """Have another node take back what a dead worker has borrowed."""
        self.wait_for(self.node("one").remove_worker(name, rows))

    def states(self, rules: Sequence[tuple[Rule, Window]], ms: int) -> Sequence[RuleState]:
        """Return what is left of rules, when all nodes have reported, and one has looked for workers that are gone."""
        self.beat()
        self.wait_for(self.node("one").others(self.workers["one"].name))
        return self.wait_for(self.node("one").states(rules, ms))

    def disconnect(self, *, away: bool) -> None:
        """Leave the ledger where it is: that it may be away is seen without Redis."""

    @rule()
    def beat(self) -> None:
        """Report, as each node does every second."""
        for worker in self.workers:
            if not self.shared.away:
                self.wait_for(self.node(worker).beat())

    @rule(seconds=st.sampled_from([0, 1, 90]), worker=WORKERS)
    def lose(self, seconds: int, worker: str) -> None:
        """Start runs, lose everything that is in Redis, and start another one."""
        for one in (*self.workers, worker):
            self.begin(one, "ann", 1, 1)
            if one == "four":
                self.server.network = "works"
                self.wait_for(self.server.execute("FLUSHALL"))
                self.wait_for(self.node("one").states([(RUNS, ALWAYS)], self.ms))  # buckets are refilled from now on
                self.wait(seconds, 0)

    @rule(network=st.sampled_from(["is cut", "loses the reply", "delays"]))
    def break_network(self, network: str) -> None:
        """Have the next call fail."""
        self.server.network = network

    def teardown(self) -> None:
        """See `LimitMachine.teardown`."""
        self.server.network = "works"
        try:
            super().teardown()
        finally:
            self.wait_for(self.server.aclose())
            self.loop.close()


def test_a_removal_that_does_not_reach_redis_leaves_nothing_lent(redis_process: RedisProcess) -> None:
    """An example that was found at random: the worker crashes and is removed while the network is cut."""
    machine = RedisLimitMachine(redis_process)
    machine.lose(seconds=0, worker="one")
    machine.break_network("is cut")
    machine.crash("one")
    machine.recover()
    machine.teardown()


def test_limits_in_redis_are_never_exceeded(redis_process: RedisProcess) -> None:
    """The state machine on four nodes."""
    run_state_machine_as_test(
        partial(RedisLimitMachine, redis_process),  # type: ignore[arg-type] # it is called as a class is
        settings=settings(max_examples=30, stateful_step_count=40, deadline=None),
    )
