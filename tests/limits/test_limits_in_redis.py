"""Three nodes with limits in Redis, which is away or loses its data while runs are carried out."""

import asyncio
from pathlib import Path

import pytest
from engine_fixtures import Postgres, RedisProcess
from limit_cluster import TEAM, Workers, budget, cluster

from dragoman.core.errors import QuotaExceeded, RateLimited, StoreFailed
from dragoman.limits.rules import Rule, Unit
from dragoman.runs.borrowing import LEASE_MS
from dragoman.runs.run import Run
from dragoman.stores.redis.limits import RedisLimits
from dragoman.stores.redis.server import RedisServer


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


async def test_nothing_is_exceeded_when_redis_loses_its_data_under_load(
    postgres: Postgres, own_redis: RedisProcess, tmp_path: Path
) -> None:
    """On three nodes, again and again, with runs in flight. In the end nothing is blocked and every cost is charged."""
    rules = Rule(TEAM, Unit.RUNS, 3), budget(6)
    async with cluster(tmp_path, Workers(3, postgres, own_redis), *rules) as gateway:
        server = RedisServer(own_redis.url)
        gateway.servers.push_async_callback(server.aclose)
        open_runs: list[Run] = []
        for turn in range(12):
            results = await asyncio.gather(*(gateway.start(number) for number in range(6)), return_exceptions=True)
            open_runs += [one for one in results if isinstance(one, Run)]
            assert all(isinstance(one, Run | RateLimited | QuotaExceeded | StoreFailed) for one in results), results
            assert len(open_runs) <= 3
            await server.execute("FLUSHALL")
            if turn % 3 == 2:
                await gateway.finish(open_runs)
                gateway.api.may_end.clear()
                open_runs.clear()
                for meter in gateway.meters:
                    assert isinstance(meter.ledger, RedisLimits)
                    await meter.ledger.beat()
        await gateway.finish(open_runs)
        total = sum(gateway.api.counted.values())
        assert 0 < total <= budget(6).amount
        assert await gateway.recorded() == total
        assert await gateway.left() == [(0, 0), (total, 0)]
