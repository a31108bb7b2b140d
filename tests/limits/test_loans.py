"""What runs that start at the same time borrow: the first one for itself, the next one for all that wait."""

import asyncio
from pathlib import Path

from limit_cluster import COST, Workers, budget, cluster

from dragoman.core.errors import StoreFailed
from dragoman.limits.rules import Rule, Scope, ScopeKind, Unit
from dragoman.runs.run import Run


async def test_one_loan_is_for_all_that_wait(tmp_path: Path) -> None:
    """Twenty runs need two, and one more is made for later ones. What was not needed is returned."""
    async with cluster(tmp_path, Workers(1), budget(1000)) as gateway:
        runs, _ = await gateway.start_many(20)
        assert gateway.ledgers[0].borrows <= 3
        await gateway.finish(runs)
        assert await gateway.left() == [(20 * COST, 0)]


async def test_requests_are_in_stock(tmp_path: Path) -> None:
    """As many as are allowed in half a second: also after a pause, requests that come at once need no loan."""
    async with cluster(tmp_path, Workers(1), Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 6000)) as gateway:
        gateway.api.may_end.set()
        for _ in range(2):
            runs, _ = await gateway.start_many(10)
            await asyncio.gather(*(run.wait_until_settled() for run in runs))
            gateway.ms += 600
            await gateway.meters[0].flush()
        assert gateway.ledgers[0].borrows == 1
        [pool] = gateway.meters[0]._borrower.pools
        assert pool.available == 51 - 20


async def test_few_requests_are_not_in_stock(tmp_path: Path) -> None:
    """Of a small limit nothing is kept: another worker may need it."""
    async with cluster(tmp_path, Workers(1), Rule(Scope(ScopeKind.GATEWAY), Unit.REQUESTS, 100)) as gateway:
        gateway.api.may_end.set()
        runs, _ = await gateway.start_many(10)
        await asyncio.gather(*(run.wait_until_settled() for run in runs))
        await gateway.meters[0]._borrower.finish()
        gateway.ms += 600
        await gateway.meters[0].flush()
        [pool] = gateway.meters[0]._borrower.pools
        assert pool.available == 0


async def test_a_loan_that_fails_fails_for_one_run_only(tmp_path: Path) -> None:
    """All others try at the same time, so that none waits for the failures of those before it."""
    async with cluster(tmp_path, Workers(1), budget(1000)) as gateway:
        gateway.ledgers[0].is_away = True
        errors = await asyncio.gather(*(gateway.start(0) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in errors} == {StoreFailed}
        assert len({id(error) for error in errors}) == 20
        assert gateway.ledgers[0].borrows == 20
        gateway.ledgers[0].is_away = False
        runs, _ = await gateway.start_many(5)
        await gateway.finish(runs)
        assert await gateway.left() == [(5 * COST, 0)]


async def test_a_run_that_was_cancelled_waits_no_more(tmp_path: Path) -> None:
    """Nothing is borrowed for it."""
    async with cluster(tmp_path, Workers(1), budget(1000)) as gateway:
        starting = [asyncio.create_task(gateway.start(0)) for _ in range(4)]
        await asyncio.sleep(0)  # all wait now: the first one for the ledger, the others for it
        starting[2].cancel()
        first, second, gone, last = await asyncio.gather(*starting, return_exceptions=True)
        assert isinstance(gone, asyncio.CancelledError)
        [pool] = gateway.meters[0]._borrower.pools
        assert pool.waiting == 0
        await gateway.finish([run for run in (first, second, last) if isinstance(run, Run)])
        assert await gateway.left() == [(3 * COST, 0)]
