"""Limits in Redis: the suite of all limits, and what happens when Redis loses its data or is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest
from engine_fixtures import RedisProcess, opened_redis

from dragoman.core.errors import StoreFailed
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import ALWAYS, Period, Rule, Scope, ScopeKind, Unit, window_at
from dragoman.limits.table import Ask, Refusal
from dragoman.stores.ledger import Loan, SharedLimits
from dragoman.stores.redis.limit_scripts import mark_script
from dragoman.stores.redis.limits import RedisLimits, RedisLimitsOptions
from dragoman.stores.redis.server import RedisAwayError, RedisServer
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.testing import SharedLimitsSuite
from dragoman.testing.ledger import row
from dragoman.testing.memory_limits import MemoryLimits

LEASE = 60_000
RUNS = Rule(Scope(ScopeKind.KEY, "ann"), Unit.RUNS, 4)
REQUESTS = Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 60)
BUDGET = Rule(Scope(ScopeKind.TEAM, "web"), Unit.DOLLARS, 1_000, Period.DAY)
TODAY = window_at(Period.DAY, 1_790_000_000.0)


class TestRedisLimits(SharedLimitsSuite):
    """The suite."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_process: RedisProcess) -> None:
        self.process = redis_process

    def opened(self, where: Path) -> AbstractAsyncContextManager[SharedLimits]:
        """Open the limits of a directory. Times are those of the calls."""
        return opened_limits(self.process, where)


@asynccontextmanager
async def opened_limits(process: RedisProcess, where: Path) -> AsyncIterator[SharedLimits]:
    """Open limits over a file."""
    async with opened_redis(process, where) as redis, aclosing(SQLiteLedger(where / "ledger.db")) as ledger:
        yield limits(ledger, redis)


async def yes() -> bool:
    """Return that there has never been a state."""
    return True


def limits(ledger: SharedLimits, redis: RedisServer, *, opens: bool = False) -> RedisLimits:
    """Return limits with the clock of the calls."""
    options = RedisLimitsOptions(is_first=yes, opens=opens, beat_seconds=None, uses_server_clock=False)
    return RedisLimits(ledger, redis, lambda: 0, options)


def ask(rule: Rule, needed: int, desired: int | None = None) -> Ask:
    """Return a request to borrow."""
    return Ask(rule, TODAY if rule.period else ALWAYS, needed, needed if desired is None else desired)


@dataclass
class Nodes:
    """Two nodes with one ledger and one Redis server."""

    process: RedisProcess
    one: RedisLimits
    two: RedisLimits
    redis: RedisServer


@pytest.fixture
async def nodes(own_redis: RedisProcess) -> AsyncIterator[Nodes]:
    """Start two nodes. Only the first state has full buckets."""
    ledger = MemoryLimits()
    async with AsyncExitStack() as stack:
        servers = [RedisServer(own_redis.url), RedisServer(own_redis.url)]
        for server in servers:
            stack.push_async_callback(server.aclose)
        one, two = (limits(ledger, server) for server in servers)
        two._state._has_begun = True
        yield Nodes(own_redis, one, two, servers[0])


async def lost(nodes: Nodes, how: str) -> None:
    """Have the server lose the state of the limits."""
    if how == "restart from a file":
        await nodes.redis.execute("SAVE")
        nodes.process.stop()
        nodes.process.start()
        assert await nodes.redis.execute("EXISTS", nodes.redis.name("limits"))
    else:
        await nodes.redis.execute(*how.split())


@pytest.mark.parametrize("how", ["FLUSHALL", "DEL {dragoman}:limits", "SCRIPT FLUSH", "restart from a file"])
async def test_runs_are_not_lent_twice_after_a_loss(nodes: Nodes, how: str) -> None:
    """No run is lent until every node has said what it has. A file that is older than the last loan is not trusted."""
    assert isinstance(await nodes.one.borrow("one", [ask(RUNS, 2)], 0, LEASE), Loan)
    assert isinstance(await nodes.two.borrow("two", [ask(RUNS, 1)], 0, LEASE), Loan)
    await lost(nodes, how)
    with pytest.raises(StoreFailed, match="not all nodes have reported"):
        await nodes.one.borrow("one", [ask(RUNS, 1)], 1, LEASE)
    nodes.two._ms = lambda: 2
    await nodes.two.beat()
    refused = await nodes.one.borrow("one", [ask(RUNS, 2)], 3, LEASE)
    assert isinstance(refused, Refusal)
    assert (refused.state.held, refused.state.remaining) == (3, 1)
    assert isinstance(await nodes.two.borrow("two", [ask(RUNS, 1)], 4, LEASE), Loan)
    for worker, node, amount in (("one", nodes.one, 2), ("two", nodes.two, 2)):
        await node.sync(worker, (), [Repayment(RUNS, ALWAYS, 0, amount)], 5, LEASE)
    [state] = await nodes.one.states([(RUNS, ALWAYS)], 5)
    assert state.held == 0


async def test_a_node_that_does_not_report_is_waited_for_until_its_lease_ends(nodes: Nodes) -> None:
    """It may still carry out runs. When it can be reached again they are counted."""
    await nodes.one.borrow("one", [ask(RUNS, 3)], 0, LEASE)
    await nodes.redis.execute("FLUSHALL")
    with pytest.raises(StoreFailed):
        await nodes.two.borrow("two", [ask(RUNS, 2)], 1_000, LEASE)
    assert isinstance(await nodes.two.borrow("two", [ask(RUNS, 2)], LEASE + 2_001, 2 * LEASE), Loan)
    assert nodes.one.runs_until == LEASE
    await nodes.one.sync("one", (), (), LEASE + 3_000, 2 * LEASE)
    [state] = await nodes.two.states([(RUNS, ALWAYS)], LEASE + 3_000)
    assert (state.held, state.remaining) == (5, 0)


async def test_buckets_are_empty_after_a_loss(nodes: Nodes) -> None:
    """What was taken out of them is not known any more: it may be all. They are refilled as usual."""
    assert isinstance(await nodes.one.borrow("one", [ask(REQUESTS, 60)], 0, LEASE), Loan)
    await nodes.redis.execute("FLUSHALL")
    refused = await nodes.two.borrow("two", [ask(REQUESTS, 1)], 0, LEASE)
    assert isinstance(refused, Refusal)
    assert refused.retry_after == 1.0
    assert isinstance(await nodes.two.borrow("two", [ask(REQUESTS, 2)], 2_000, LEASE), Loan)
    [state] = await nodes.two.states([(REQUESTS, ALWAYS)], 2_000)
    assert state.remaining == 0


async def test_budgets_do_not_need_redis(nodes: Nodes) -> None:
    """They are lent and charged without it. Limits on requests and runs are closed, and say why."""
    await nodes.one.borrow("one", [ask(RUNS, 1), ask(BUDGET, 10)], 0, LEASE)
    nodes.process.stop()
    assert isinstance(await nodes.one.borrow("one", [ask(BUDGET, 10)], 1, LEASE), Loan)
    for rule in (RUNS, REQUESTS):
        with pytest.raises(StoreFailed, match="Redis cannot be used"):
            await nodes.one.borrow("one", [ask(rule, 1), ask(BUDGET, 10)], 1, LEASE)
    repaid = [Repayment(BUDGET, TODAY, 5, 15), Repayment(RUNS, ALWAYS, 0, 1), Repayment(REQUESTS, ALWAYS, 0, -3)]
    assert await nodes.one.sync("one", [row("run_a", 5)], repaid, 2, LEASE) == {"run_a"}
    assert list(nodes.one.failures()) == ["redis"]
    nodes.process.start()
    nodes.redis._away_until = 0.0
    nodes.one._ms = lambda: 3
    await nodes.one.beat()
    states = await nodes.two.states([(BUDGET, TODAY), (RUNS, ALWAYS), (REQUESTS, ALWAYS)], 3)
    assert [(state.used, state.held) for state in states] == [(5, 0), (0, 0), (63, 0)]
    assert nodes.one.failures() == {}


async def test_a_setting_opens_the_limits_while_redis_is_away(nodes: Nodes) -> None:
    """Runs that begin then are counted when it is back."""
    opened = limits(MemoryLimits(), nodes.redis, opens=True)
    nodes.process.stop()
    for _ in range(6):
        loan = await opened.borrow("three", [ask(RUNS, 1), ask(REQUESTS, 50), ask(BUDGET, 10)], 0, LEASE)
        assert isinstance(loan, Loan)
        assert list(loan.granted) == [1, 50, 10]
    nodes.process.start()
    nodes.redis._away_until = 0.0
    refused = await opened.borrow("three", [ask(RUNS, 1)], 1, LEASE)
    assert isinstance(refused, Refusal)
    assert refused.state.held == 6


async def test_what_a_budget_refuses_is_not_taken_from_other_limits(nodes: Nodes) -> None:
    """All rules lend, or none."""
    refused = await nodes.one.borrow("one", [ask(RUNS, 1), ask(REQUESTS, 5), ask(BUDGET, 1_001)], 0, LEASE)
    assert isinstance(refused, Refusal)
    assert refused.state.rule is BUDGET
    states = await nodes.two.states([(RUNS, ALWAYS), (REQUESTS, ALWAYS)], 0)
    assert [state.remaining for state in states] == [4, 60]


async def test_a_call_that_arrives_after_a_later_one_does_nothing(nodes: Nodes) -> None:
    """It was given up by its process, and says what was lent before."""
    late: dict[str, object] = {"worker": "one", "number": 1, "lease": LEASE, "held": {RUNS.name: 0}}
    await nodes.one.borrow("one", [ask(RUNS, 3)], 0, LEASE)
    with pytest.raises(RedisAwayError, match="overtaken"):
        await nodes.one._state.call(late, 0)
    [state] = await nodes.one.states([(RUNS, ALWAYS)], 0)
    assert state.held == 3


async def test_what_is_returned_during_a_call_is_reported_by_the_next_one(nodes: Nodes) -> None:
    """The call says what was lent when it began."""
    await nodes.one.borrow("one", [ask(RUNS, 2)], 0, LEASE)
    call = asyncio.create_task(nodes.one.borrow("one", [ask(RUNS, 1)], 0, LEASE))
    while not nodes.one._workers["one"].calling.locked():  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0)
    await nodes.one.sync("one", (), [Repayment(RUNS, ALWAYS, 0, 2)], 0, LEASE)
    await call
    [state] = await nodes.two.states([(RUNS, ALWAYS)], 0)
    assert state.held == 1


async def test_what_a_removal_does_not_take_back_in_redis_is_taken_back_later(nodes: Nodes) -> None:
    """It did not arrive there. A worker that has called since then is not gone."""
    await nodes.two.borrow("two", [ask(RUNS, 2)], 0, LEASE)
    nodes.redis._away_until = inf
    await nodes.one.remove_worker("two", ())
    nodes.redis._away_until = 0.0
    await nodes.one._state.call({"gone": [["two", 0]]}, 0)
    [state] = await nodes.one.states([(RUNS, ALWAYS)], 0)
    assert state.held == 2
    assert await nodes.one.others("one") == {}
    [state] = await nodes.one.states([(RUNS, ALWAYS)], 0)
    assert state.held == 0


async def test_a_worker_that_begins_again_holds_nothing_of_before(nodes: Nodes) -> None:
    """Its removal did not reach Redis: its next call says so."""
    await nodes.one.borrow("one", [ask(RUNS, 2)], 0, LEASE)
    nodes.redis._away_until = inf
    await nodes.one.remove_worker("one", ())
    nodes.redis._away_until = 0.0
    await nodes.one.borrow("one", [ask(REQUESTS, 1)], 0, LEASE)
    [state] = await nodes.two.states([(RUNS, ALWAYS)], 0)
    assert state.held == 0


async def test_a_node_of_another_version_uses_the_same_state(nodes: Nodes) -> None:
    """Its main script is another one. It leaves the mark that all versions know."""
    await nodes.one.borrow("one", [ask(RUNS, 3)], 0, LEASE)
    epoch = nodes.one._state.epoch
    await nodes.redis.execute("SCRIPT", "FLUSH")
    await nodes.redis.execute("SCRIPT", "LOAD", mark_script(epoch).source)
    refused = await nodes.two.borrow("two", [ask(RUNS, 2)], 0, LEASE)
    assert isinstance(refused, Refusal)
    assert (refused.state.held, nodes.two._state.epoch) == (3, epoch)


async def test_times_are_those_of_the_server(own_redis: RedisProcess) -> None:
    """Whatever the clock of a node says, a bucket is refilled once."""
    server = RedisServer(own_redis.url)
    options = RedisLimitsOptions(is_first=yes, beat_seconds=None)
    shared = RedisLimits(MemoryLimits(), server, lambda: 0, options)
    hourly = Rule(Scope(ScopeKind.GATEWAY), Unit.TOKENS, 1)
    assert isinstance(await shared.borrow("one", [ask(hourly, 1)], 0, LEASE), Loan)
    assert isinstance(await shared.borrow("two", [ask(hourly, 1)], 10**9, 10**9 + LEASE), Refusal)
    await shared.aclose()
    await server.aclose()
