"""Workers with limits before a scripted API that counts what each run has cost."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from engine_fixtures import Postgres, RedisProcess, opened_redis, opened_server

from dragoman.backends.base import Backend, RunRequest
from dragoman.core.catalog import Catalog
from dragoman.core.errors import QuotaExceeded, RateLimited, StoreFailed
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
    """A scripted API. It counts what each run has cost, and waits in the middle of a response until it may end.

    Attributes:
        is_silent: Whether it sends nothing, and only gets requests.
    """

    is_silent: bool = False
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    received: asyncio.Event = field(default_factory=asyncio.Event)
    counted: dict[str, int] = field(default_factory=dict)
    name: str = "fake"
    text: str = "12345678"

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer."""
        if self.is_silent:
            self.received.set()
            await asyncio.Event().wait()
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
    """A ledger whose database can be away, or slow to write.

    Attributes:
        borrows: How often something was to be borrowed.
    """

    is_away = False

    def __init__(self, ledger: SQLLedger) -> None:
        super().__init__(ledger._database)
        self.borrows = 0
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def borrow(self, worker: str, asks: Sequence[Ask], ms: int, lease: int) -> Loan | Refusal:
        """Fail while the file is away."""
        self.borrows += 1
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
        self.runs: list[Run] = []

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
        self.runs.append(run)
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
        await asyncio.gather(*(run.wait_until_settled() for run in self.runs if run.ended))
        for meter in self.meters:
            await meter._borrower.finish()  # a loan for later runs would be returned later
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
