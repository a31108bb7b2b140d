"""What others get wrong with limits and budgets: on one worker, on four over one file, and on three nodes."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest
from limit_cluster import COST, CUT_COST, MAY_COST, MODEL, TEAM, Cluster, Workers, budget, cluster

from dragoman.core.errors import GatewayError, QuotaExceeded, RateLimited, StoreFailed, TimedOut
from dragoman.limits.rules import Period, Rule, Scope, ScopeKind, Unit
from dragoman.runs.borrowing import LEASE_MS
from dragoman.stores.ledger import LedgerFilter, LedgerRow


@pytest.fixture(params=["one worker", "four workers", "three nodes", "three nodes with redis"])
def workers(request: pytest.FixtureRequest) -> Workers:
    """Return the workers."""
    postgres = request.getfixturevalue("postgres") if "nodes" in request.param else None
    redis = request.getfixturevalue("redis_process") if "redis" in request.param else None
    return Workers({"one": 1, "three": 3, "four": 4}[request.param.split()[0]], postgres, redis)


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
        admitted = 0
        for _ in range(12):
            gateway.api.may_end.clear()  # one that waits for a loan would take the place of one that ended
            runs, _ = await gateway.start_many(8)
            assert len(runs) <= 3
            admitted += len(runs)
            await gateway.finish(runs)
        assert admitted == 12


async def test_what_is_left_in_parts_is_put_together_while_requests_keep_coming(tmp_path: Path) -> None:
    """Each worker has a part that is too small for a run. None keeps it for the next request, which needs as much."""
    rule = Rule(TEAM, Unit.DOLLARS, 2 * MAY_COST, Period.MONTH)
    async with cluster(tmp_path, Workers(2), rule) as gateway:
        runs, _ = await gateway.start_many(2)
        gateway.api.may_end.set()
        for run in runs:
            await run.wait()
        with pytest.raises(RateLimited, match="reserved"):
            await gateway.start(0)
        await gateway.meters[0].flush()
        gateway.ms += 60
        await gateway.finish([await gateway.start(1)])
        assert await gateway.left() == [(3 * COST, 0)]


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
    dead.meters[0].note_progress()
    # From here on the worker does nothing any more: its rows are in its outbox only.
    async with cluster(tmp_path, Workers(1), rule) as gateway:
        recovered = COST + 4_040_000  # the prompt, and what had been received of the response
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
    for _ in range(2):
        dead.meters[0].note_progress()
        [outbox] = (tmp_path / "outbox").iterdir()
        assert len(outbox.read_text().splitlines()) == 2
    async with cluster(tmp_path, Workers(1), budget(9)) as gateway:
        assert await gateway.recorded() == COST  # of 1000 input tokens and 100 output tokens
    await open_run.cancel("end of the test")
    await dead.aclose()


async def test_a_response_is_in_the_outbox_before_its_client_has_it(tmp_path: Path) -> None:
    """A process that is killed right after a response was sent has charged it."""
    async with cluster(tmp_path, Workers(1), budget(9)) as gateway:
        gateway.api.may_end.set()
        run = await gateway.start(0)
        await run.wait()
        [outbox] = (tmp_path / "outbox").iterdir()
        last = msgspec.json.decode(outbox.read_bytes().splitlines()[-1], type=LedgerRow)
        assert (last.run, last.status, last.nanodollars) == (run.id, "succeeded", COST)


async def test_a_call_whose_response_had_not_begun_is_in_the_ledger(tmp_path: Path) -> None:
    """Its node was killed, so nothing else is known. The ledger counts the call, without tokens."""
    dead = Cluster(tmp_path, (budget(9),))
    await dead.add(worker="node~999999999@1.0-dead")
    dead.api.is_silent = True
    open_run = await dead.start(0)
    await dead.api.received.wait()
    async with cluster(tmp_path, Workers(1), budget(9)) as gateway:
        assert await gateway.recorded() == 0
        [total] = await gateway.ledgers[0].sums(LedgerFilter(team="web"), ("status",))
        assert (total.by, total.runs, total.tokens.total) == ({"status": "interrupted"}, 1, 0)
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
