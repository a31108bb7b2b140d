"""What others get wrong with limits and budgets: on one worker, on four over one file, and on three nodes."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from engine_fixtures import Postgres, RedisProcess, opened_redis, opened_server

from dragoman.backends.base import Backend, RunRequest
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, QuotaExceeded, RateLimited, StoreFailed, TimedOut
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, JSONObject, MessagesRequest
from dragoman.limits.pools import Repayment
from dragoman.limits.rules import Period, Rule, Scope, ScopeKind, Unit
from dragoman.limits.table import Ask, Refusal
from dragoman.runs.borrowing import LEASE_MS
from dragoman.runs.bounds import bound_of
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.metering import Meter
from dragoman.runs.policy import Clock
from dragoman.runs.run import Run
from dragoman.stores.ledger import LedgerFilter, LedgerRow, Loan, SharedLimits
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.redis.limits import RedisLimits, RedisLimitsOptions
from dragoman.stores.sql.ledger import SQLLedger
from dragoman.stores.sqlite.database import BUSY_SECONDS
from dragoman.stores.sqlite.ledger import SQLiteLedger

MODEL = Catalog().resolve("claude-opus-5-5").model
BODY = cast(
    "MessagesRequest",
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}], "max_tokens": 100},
)
MAY_COST = bound_of(BODY, MODEL).nanodollars
COST = 6_000_000
"""Nanodollars of 1000 input tokens and 100 output tokens."""
CUT_COST = 4_040_000
"""Of 1000 input tokens and the two tokens that were received."""
TEAM = Scope(ScopeKind.TEAM, "web")


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and the servers that they share as nodes; without any they share a file."""

    count: int
    postgres: Postgres | None = None
    redis: RedisProcess | None = None


@pytest.fixture(params=["one worker", "four workers", "three nodes", "three nodes with redis"])
def workers(request: pytest.FixtureRequest) -> Workers:
    """Return the workers."""
    postgres = request.getfixturevalue("postgres") if "nodes" in request.param else None
    redis = request.getfixturevalue("redis_process") if "redis" in request.param else None
    return Workers({"one": 1, "three": 3, "four": 4}[request.param.split()[0]], postgres, redis)


def budget(runs: int, scope: Scope = TEAM) -> Rule:
    """Return a budget that pays for some runs, and for what one more may cost, but not for that one in addition."""
    return Rule(scope, Unit.DOLLARS, runs * COST + MAY_COST - COST, Period.MONTH)


@dataclass
class OneTeam:
    """A policy: every client is in one team."""

    team_rules: tuple[Rule, ...]

    def rules(self, client: str, model: str) -> tuple[Rule, ...]:  # noqa: ARG002 - a `Policy`
        """Return the rules of the team."""
        return self.team_rules

    def all_rules(self) -> Sequence[Rule]:
        """Return the rules of the team."""
        return self.team_rules

    def team(self, client: str) -> str:  # noqa: ARG002 - a `Policy`
        """Return the team."""
        return "web"


@dataclass
class CountingApi:
    """A scripted API. It counts what each run has cost, and waits in the middle of a response until it may end."""

    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    counted: dict[str, int] = field(default_factory=dict)
    name: str = "fake"
    text: str = "12345678"

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer."""
        usage: JSONObject = {"input_tokens": 1000, "output_tokens": 1}
        self.counted[request.id] = CUT_COST
        yield MessageStart({"type": "message_start", "message": {"id": "m", "content": [], "usage": usage}})
        yield BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        text: JSONObject = {"type": "text_delta", "text": self.text}
        yield BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": text})
        self.received.set()
        await self.may_end.wait()
        self.counted[request.id] = COST
        yield BlockStop(0, {"type": "content_block_stop", "index": 0})
        total: JSONObject = {"output_tokens": 100}
        yield MessageDelta({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": total})
        yield MessageStop({"type": "message_stop"})


class FailingLedger(SQLLedger):
    """A ledger whose database can be away, or slow to write."""

    is_away = False

    def __init__(self, ledger: SQLLedger) -> None:
        super().__init__(ledger._database)
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """Fail while the file is away."""
        self._check()
        return await super().borrow(worker, asks, ms, lease)

    async def sync(
        self, worker: str, rows: Sequence[LedgerRow], repayments: Sequence[Repayment], ms: int, lease: int
    ) -> frozenset[str]:
        """Fail while the file is away, and wait while it is slow."""
        self._check()
        await self.may_write.wait()
        return await super().sync(worker, rows, repayments, ms, lease)

    def _check(self) -> None:
        if self.is_away:
            raise StoreFailed("The database is away.")


class Cluster:
    """Some workers that share a directory and an API."""

    def __init__(self, directory: Path, rules: tuple[Rule, ...], workers: Workers | None = None) -> None:
        self.directory = directory
        self.postgres = workers.postgres if workers else None
        self.redis = workers.redis if workers else None
        self.is_new = True
        self.servers = AsyncExitStack()
        self.policy = OneTeam(rules)
        self.api = CountingApi()
        self.ms = 0
        self.busy_timeout = BUSY_SECONDS
        self.ledgers: list[FailingLedger] = []
        self.meters: list[Meter] = []
        self.engines: list[Engine] = []

    async def add(self, *, worker: str | None = None, run_timeout: float = 600.0) -> None:
        """Start a worker."""
        if self.postgres is None:
            ledger = FailingLedger(SQLiteLedger(self.directory / "ledger.db", busy_timeout=self.busy_timeout))
        else:
            node = opened_server(self.postgres, self.directory, node=f"node{len(self.ledgers)}")
            ledger = FailingLedger(PostgresStores(await self.servers.enter_async_context(node)).ledger())
        clock = Clock(ms=lambda: self.ms)
        meter = Meter(await self.limits(ledger), self.policy, self.directory / "outbox", clock=clock, worker=worker)
        await meter.start()
        limits = Limits(max_concurrency=100, run_timeout=run_timeout)
        self.ledgers.append(ledger)
        self.meters.append(meter)
        self.engines.append(Engine(cast("Backend", self.api), limits, meter=meter))

    async def limits(self, ledger: FailingLedger) -> SharedLimits:
        """Return the limits of a node: those in Redis, if there is a server."""
        if self.redis is None:
            return ledger
        redis = await self.servers.enter_async_context(opened_redis(self.redis, self.directory))

        async def is_first() -> bool:
            was_new, self.is_new = self.is_new, False
            return was_new

        options = RedisLimitsOptions(lease_ms=LEASE_MS, is_first=is_first, beat_seconds=None, uses_server_clock=False)
        return RedisLimits(ledger, redis, lambda: self.ms, options)

    async def start(self, number: int, client: str = "ann") -> Run:
        """Start a run on a worker. The runs take turns on the workers."""
        engine = self.engines[number % len(self.engines)]
        admitted = await engine.reserve([BODY], MODEL, client=client, request_options=DEFAULT_REQUEST_OPTIONS)
        [run] = engine.submit_all(admitted.bodies, MODEL, client=client, holds=admitted.holds)
        return run

    async def start_many(self, count: int, client: Callable[[int], str] = lambda _: "ann") -> tuple[list[Run], int]:
        """Start runs at the same time. Return those that were admitted, and how many were refused."""
        results = await asyncio.gather(
            *(self.start(number, client(number)) for number in range(count)), return_exceptions=True
        )
        assert all(isinstance(one, Run | RateLimited | QuotaExceeded) for one in results), results
        runs = [one for one in results if isinstance(one, Run)]
        return runs, count - len(runs)

    async def finish(self, runs: Sequence[Run]) -> None:
        """Have all runs end, and everything written and returned."""
        self.api.may_end.set()
        await asyncio.gather(*(run.wait() for run in runs))
        await self.settle()

    async def settle(self) -> None:
        """Have everything written and returned. No refusal is remembered any more."""
        self.ms += 100
        for meter in self.meters:
            await meter.flush(everything=True)

    async def left(self) -> list[tuple[int, int]]:
        """Return what is used of each rule, and what is reserved."""
        return [(state.used, state.held) for state in await self.meters[0].states()]

    async def recorded(self) -> int:
        """Return the sum of the ledger."""
        return await self.ledgers[0].spent(LedgerFilter(team="web"))

    async def aclose(self) -> None:
        """Stop all workers."""
        self.api.may_end.set()
        for engine, meter, ledger in zip(self.engines, self.meters, self.ledgers, strict=True):
            await engine.aclose(0)
            await meter.aclose()
            await ledger.aclose()
        await self.servers.aclose()


@asynccontextmanager
async def cluster(
    directory: Path, workers: Workers, *rules: Rule, run_timeout: float = 600.0
) -> AsyncIterator[Cluster]:
    """Run some workers."""
    started = Cluster(directory, rules, workers)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(started.aclose)
        for _ in range(workers.count):
            await started.add(run_timeout=run_timeout)
        yield started


async def test_requests_in_flight_do_not_overspend(workers: Workers, tmp_path: Path) -> None:
    """What each may cost is reserved. When they have ended, the rest can be spent, and no more."""
    rule = Rule(TEAM, Unit.DOLLARS, 5 * MAY_COST, Period.MONTH)
    async with cluster(tmp_path, workers, rule) as gateway:
        runs, refused = await gateway.start_many(40)
        assert (len(runs), refused) == (5, 35)
        await gateway.finish(runs)
        assert await gateway.left() == [(5 * COST, 0)]
        while True:
            more, _ = await gateway.start_many(4)
            await gateway.finish(more)
            if not more:
                break
        total = sum(gateway.api.counted.values())
        assert rule.amount - MAY_COST < total <= rule.amount
        assert await gateway.recorded() == total
        with pytest.raises(QuotaExceeded, match=r"team `web` .* a month.* is spent.*It is renewed on"):
            await gateway.start(0)


async def test_a_run_that_timed_out_blocks_nothing(workers: Workers, tmp_path: Path) -> None:
    """Its reservation ends with it. What was received is charged."""
    async with cluster(tmp_path, workers, budget(9), Rule(TEAM, Unit.RUNS, 1), run_timeout=0.01) as gateway:
        for number in range(3):
            run = await gateway.start(number)
            with pytest.raises(TimedOut):
                await run.wait()
            await run.cancel("over")
            await gateway.settle()
        assert await gateway.left() == [(3 * CUT_COST, 0), (0, 0)]


async def test_a_stream_that_the_client_cut_is_charged_once(workers: Workers, tmp_path: Path) -> None:
    """For its prompt and for what was received, however often its end is reported."""
    async with cluster(tmp_path, workers, budget(9)) as gateway:
        run = await gateway.start(0)
        await gateway.api.received.wait()
        for _ in range(2):
            await run.cancel("client gone")
            run.notify()
        await gateway.settle()
        assert await gateway.left() == [(CUT_COST, 0)]
        assert await gateway.recorded() == CUT_COST == sum(gateway.api.counted.values())


async def test_a_row_that_is_sent_twice_is_counted_once(workers: Workers, tmp_path: Path) -> None:
    """As after an error whose transaction was stored although it failed."""
    async with cluster(tmp_path, workers, budget(9)) as gateway:
        runs, _ = await gateway.start_many(1)
        await gateway.finish(runs)
        row = LedgerRow(run=runs[0].id, began=1.0, key="ann", team="web", model=MODEL.id, nanodollars=COST)
        for ledger in gateway.ledgers:
            assert await ledger.sync("again", [row], [], 0, 1) == frozenset()
        assert await gateway.left() == [(COST, 0)]


async def test_a_limit_is_not_multiplied_by_the_workers(workers: Workers, tmp_path: Path) -> None:
    """Twelve requests in a minute are twelve, and three runs at once are three."""
    rules = Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 12), Rule(TEAM, Unit.RUNS, 3)
    async with cluster(tmp_path, workers, *rules) as gateway:
        gateway.api.may_end.set()
        admitted = 0
        for _ in range(12):
            runs, _ = await gateway.start_many(8)
            assert len(runs) <= 3
            admitted += len(runs)
            await gateway.finish(runs)
        assert admitted == 12


async def test_two_keys_of_one_team_race(workers: Workers, tmp_path: Path) -> None:
    """For the last of the budget of their team. One of them gets it, and there is no deadlock."""
    async with cluster(tmp_path, workers, Rule(TEAM, Unit.DOLLARS, MAY_COST, Period.MONTH), budget(9)) as gateway:
        runs, refused = await gateway.start_many(20, lambda number: ("ann", "bob")[number % 2])
        assert (len(runs), refused) == (1, 19)
        await gateway.finish(runs)
        assert [used for used, _ in await gateway.left()] == [COST, COST]


async def test_nothing_is_lost_while_the_database_is_away(workers: Workers, tmp_path: Path) -> None:
    """Runs that are admitted continue and end. New ones are refused with 503, and all costs are written later."""
    async with cluster(tmp_path, workers, budget(50)) as gateway:
        runs, _ = await gateway.start_many(8)
        assert len(runs) == 8
        for ledger in gateway.ledgers:
            ledger.is_away = True
        gateway.api.may_end.set()
        await asyncio.gather(*(run.wait() for run in runs))
        errors: list[GatewayError] = []
        for number in range(200):
            try:
                await (await gateway.start(number)).wait()
            except GatewayError as error:
                errors.append(error)
        assert errors
        assert {error.code for error in errors} == {"store_failed"}
        for ledger in gateway.ledgers:
            ledger.is_away = False
        await gateway.settle()
        total = sum(gateway.api.counted.values())
        assert total <= budget(50).amount
        assert await gateway.recorded() == total
        assert await gateway.left() == [(total, 0)]


async def test_a_cost_that_is_being_written_is_seen(tmp_path: Path) -> None:
    """It is neither in memory nor in the file. A refusal at this moment names it nevertheless, as all readers do."""
    async with cluster(tmp_path, Workers(1), budget(1)) as gateway:
        [ledger], [meter] = gateway.ledgers, gateway.meters
        ledger.may_write.clear()
        runs, _ = await gateway.start_many(1)
        gateway.api.may_end.set()
        await runs[0].wait()
        write = asyncio.create_task(meter.flush(everything=True))
        refused, look = asyncio.create_task(gateway.start(1)), asyncio.create_task(meter.look([budget(1)]))
        for _ in range(20):  # a read that did not wait would be ahead of the write now
            await asyncio.sleep(0)
        ledger.may_write.set()
        with pytest.raises(QuotaExceeded, match=r"\$0\.006000 is spent"):
            await refused
        await asyncio.gather(write, look)
        assert meter.spent(budget(1)) == COST


@pytest.mark.parametrize("count", [1, 4])
async def test_nothing_is_lost_while_another_program_locks_the_file(count: int, tmp_path: Path) -> None:
    """For longer than SQLite waits. Rows are added when it is free again, each once."""
    gateway = Cluster(tmp_path, (budget(50),))
    gateway.busy_timeout = 0.3
    for _ in range(count):
        await gateway.add()
    runs, _ = await gateway.start_many(8)
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE").close()
    gateway.api.may_end.set()
    await asyncio.gather(*(run.wait() for run in runs))
    for meter in gateway.meters:
        with pytest.raises(StoreFailed):
            await meter.flush(everything=True)
    other.execute("ROLLBACK").close()
    other.close()
    await gateway.settle()
    assert await gateway.recorded() == 8 * COST == sum(gateway.api.counted.values())
    assert await gateway.left() == [(8 * COST, 0)]
    await gateway.aclose()


async def test_a_killed_worker_blocks_nothing_and_its_costs_are_charged(tmp_path: Path) -> None:
    """What had ended, and what had begun. The next worker that starts, or finds no room, looks for it."""
    rule = Rule(TEAM, Unit.DOLLARS, 2 * MAY_COST, Period.MONTH)
    dead = Cluster(tmp_path, (rule,))
    await dead.add(worker="999999999@1.0-dead")
    dead.api.may_end.set()
    await (await dead.start(0)).wait()
    dead.api.may_end.clear()
    dead.api.received.clear()
    open_run = await dead.start(0)
    await dead.api.received.wait()
    # From here on the worker does nothing any more: its rows are in its outbox only.
    async with cluster(tmp_path, Workers(1), rule) as gateway:
        recovered = COST + 4_020_000  # the prompt and one token: that was known when the response began
        assert await gateway.recorded() == recovered
        runs, refused = await gateway.start_many(2)
        assert (len(runs), refused) == (1, 1)
        await gateway.finish(runs)
        assert await gateway.left() == [(recovered + COST, 0)]
        await open_run.cancel("end of the test")
        await dead.aclose()


async def test_a_killed_worker_is_charged_for_what_it_had_received(tmp_path: Path) -> None:
    """What an open response has got is written from time to time, and only if it has grown."""
    dead = Cluster(tmp_path, (budget(9),))
    await dead.add(worker="999999999@1.0-dead")
    dead.api.text = "four" * 100
    open_run = await dead.start(0)
    await dead.api.received.wait()
    [outbox] = (tmp_path / "outbox").iterdir()
    for _ in range(2):
        dead.meters[0].note_progress()
        assert len(outbox.read_text().splitlines()) == 2
    async with cluster(tmp_path, Workers(1), budget(9)) as gateway:
        assert await gateway.recorded() == COST  # of 1000 input tokens and 100 output tokens
    await open_run.cancel("end of the test")
    await dead.aclose()


async def test_a_worker_of_another_node_is_not_gone_before_its_lease_ends(tmp_path: Path) -> None:
    """Its process is not on this machine, which says nothing. When its node died, its loans end with their lease."""
    async with cluster(tmp_path, Workers(0), budget(2)) as gateway:
        await gateway.add(worker="other~999999999@1.0-far")
        await gateway.add(worker="here~999999999@1.0-near")
        far = await gateway.start(0)
        with pytest.raises(RateLimited):
            await gateway.start(1)
        gateway.ms += LEASE_MS + 1000
        near = await gateway.start(1)
        await gateway.finish([far, near])


async def test_a_worker_that_died_on_its_own_node_is_gone_at_once(tmp_path: Path) -> None:
    """Its loans end before their lease."""
    async with cluster(tmp_path, Workers(0), budget(2)) as gateway:
        await gateway.add(worker="here~999999999@1.0-dead")
        dead = await gateway.start(0)
        await gateway.add(worker="here~999999999@1.0-next")
        await gateway.finish([dead, await gateway.start(1)])


async def test_a_worker_that_comes_back_after_its_lease_returns_what_it_had(tmp_path: Path) -> None:
    """As on a machine that slept. What it had borrowed is neither used any more nor lent for ever."""
    async with cluster(tmp_path, Workers(1), budget(9), Rule(TEAM, Unit.RUNS, 3)) as gateway:
        runs, _ = await gateway.start_many(2)
        gateway.ms += LEASE_MS + 1000
        await gateway.finish([*runs, await gateway.start(2)])
        assert await gateway.left() == [(3 * COST, 0), (0, 0)]


async def test_a_node_without_redis_starts_no_runs_when_its_lease_there_has_ended(
    postgres: Postgres, own_redis: RedisProcess, tmp_path: Path
) -> None:
    """Others may have them then. Until then it starts those that it has borrowed; runs that have begun end."""
    rules = Rule(TEAM, Unit.RUNS, 8), budget(50)
    async with cluster(tmp_path, Workers(2, postgres, own_redis), *rules) as gateway:
        runs = [await gateway.start(0) for _ in range(4)]
        gateway.api.may_end.set()
        await asyncio.gather(*(run.wait() for run in runs))
        gateway.api.may_end.clear()
        own_redis.stop()
        begun = await gateway.start(0)
        for meter in gateway.meters:
            await meter.flush()
        gateway.ms += LEASE_MS // 2 + 1
        await gateway.meters[0].flush()  # the lease of the ledger is longer now
        gateway.ms += LEASE_MS // 2
        with pytest.raises(StoreFailed, match="Redis cannot be used"):
            await gateway.start(0)
        own_redis.start()
        await gateway.finish([begun])
