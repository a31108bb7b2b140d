"""Three nodes behind nginx under faults: `make proof ARGS=--cluster`.

Each node is in a network namespace, with a clock of its own. Nodes are killed in the middle of streams, tool calls and
jobs, stopped for a while and replaced; Redis is flushed, killed and cut off, PostgreSQL is restarted and cut off, nodes
are cut off from each other. Clients repeat requests that failed with their `Idempotency-Key`, and take up streams that
were cut. Each request is answered with its own text, or refused, or reported as interrupted. Claude is asked at most
once for each turn; each call is in the ledger.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import psycopg
from clusters import OWN, Cluster, cluster
from engine_fixtures import started_postgres, started_redis
from proof_cluster_clients import EXPLAINED, Client, Job, Tally, call_of
from proof_cluster_faults import Faults
from proof_machines import Clocks, network

from dragoman.limits.rules import NANODOLLARS
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.run_records import RunQuery

_CLOCKS = (0.0, 3600.0, -600.0)
"""Seconds by which the clocks of the nodes differ. That of the last one is set now and then."""
_DOLLARS_OF_RUN = 0.0000125
"""A little less than what a run costs: the budget ends before the last runs."""
_MAX_SHOWN = 20
_DAY, _MAX_RECORDS = 86_400.0, 100_000
_LIMITS = {
    "DRAGOMAN_REQUESTS_PER_MINUTE": "60000",
    "DRAGOMAN_TOKENS_PER_MINUTE": "60000000",
    "DRAGOMAN_MAX_CONCURRENCY": "32",
    "DRAGOMAN_RETRIES": "0",
    "DRAGOMAN_SHUTDOWN_DELAY": "0.3s",
    "DRAGOMAN_SHUTDOWN_GRACE": "60s",
}
"""No client reaches these limits, but each request is counted, and Redis lends parts of them. No run lasts as long as
the grace, so nodes are replaced without an error."""


async def prove_cluster(runs: int, seed: int, at_once: int) -> tuple[str, str, bool]:
    """Run the proof. Return its table, details of what is wrong, and whether anything is."""
    tally, budget = Tally(), runs * _DOLLARS_OF_RUN
    with ExitStack() as stack:
        net = stack.enter_context(network())
        folder = Path(tempfile.mkdtemp(prefix="dragoman-cluster-"))
        postgres = stack.enter_context(started_postgres(net.postgres))
        redis = stack.enter_context(started_redis(net.redis))
        clocks = Clocks.apart(folder, _CLOCKS)
        machines = [net.machine(index, clock) for index, clock in enumerate(clocks.variables)]
        more = {**_LIMITS, "DRAGOMAN_REDIS": redis.url, "DRAGOMAN_BUDGET": f"{budget:.9f}usd/day"}
        async with cluster(folder, postgres.url, host=net.host, machines=machines, **more) as made:
            began = time.monotonic()
            faults = Faults(made, net, clocks, (postgres, redis), tally, random.Random(seed))  # noqa: S311 - repeatable on purpose
            disturbing = asyncio.create_task(faults.make_all())
            await _send_all(made, runs, seed, at_once, tally)
            seconds = time.monotonic() - began
            disturbing.cancel()
            await asyncio.wait([disturbing])
            failure = None if disturbing.cancelled() else disturbing.exception()
            await _end_nodes(made)
            calls = Counter(call_of(call.body) for call in made.upstream.calls)
            twice = [call for call, count in calls.items() if count > 1]
            tally.details += [f"{number} was asked twice, with {length} messages" for number, length in twice]
            must_be_zero, shown = _count(postgres.url, calls, tally, int(budget * NANODOLLARS))
            must_be_zero["faults that could not be made"] = int(failure is not None)
            must_be_zero["runs still open"] = await _open_runs(postgres.url)
    if any(must_be_zero.values()):
        tally.details.append(f"{failure or ''}\n{folder} has the logs of the nodes.")
    else:
        shutil.rmtree(folder)
    lines = [f"`--cluster --runs {runs} --seed {seed}`, {seconds:.0f} s, {runs / seconds:.1f} runs a second:", ""]
    lines += ["| what | count |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in (tally.outcomes | shown).items()]
    lines += [f"| **{name}** | {count} |" for name, count in must_be_zero.items()]
    lines += ["", f"Faults: {', '.join(f'{name} {count}' for name, count in sorted(tally.faults.items()))}."]
    for lacking in (net.lacking, "" if any(clocks.variables) else "clocks apart need libfaketime"):
        lines += ["", f"Not run here: {lacking}."] if lacking else []
    return "\n".join(lines), "\n".join(tally.details[:_MAX_SHOWN]), any(must_be_zero.values())


async def _send_all(made: Cluster, runs: int, seed: int, at_once: int, tally: Tally) -> None:
    """Have clients send the requests, and wait for all responses."""
    numbers, jobs = iter(range(runs)), set[Job]()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(Client(made, OWN, seed, tally, jobs).send_all(numbers))
    while jobs:
        await asyncio.wait(set(jobs))


def _count(
    url: str, calls: Counter[tuple[int, int]], tally: Tally, budget: int
) -> tuple[dict[str, float], dict[str, int]]:
    """Return what must be zero, and other counts."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = dragoman")

        def count(sql: str) -> int:
            [found] = connection.execute(sql).fetchone() or (0,)
            return int(found)

        rows = count("SELECT count(*) FROM ledger WHERE output > 0 OR input > 0")
        unknown = count("SELECT count(*) FROM ledger WHERE output = 0 AND input = 0 AND status = 'interrupted'")
        spent = count("SELECT coalesce(sum(nanodollars), 0) FROM ledger")
        lent = count("SELECT coalesce(sum(amount), 0) FROM loans")
    return {
        "answers wrong": len(tally.wrong),
        "answers doubled: turns that Claude was asked twice": sum(number > 1 for number in calls.values()),
        "answers lost: requests without an end": len(tally.lost),
        "errors that no fault explains": sum(tally.outcomes.values())
        - sum(tally.outcomes[name] for name in EXPLAINED)
        - len(tally.wrong)
        - len(tally.lost),
        "micro-dollars over the budget": max(0, spent - budget) / 1000,
        "nanodollars still held or lent": lent,
        "calls of Claude without a row of the ledger": max(0, calls.total() - rows - unknown),
        "rows of the ledger without a call": max(0, rows - calls.total()),
    }, {
        "requests that were sent again, or streams that were taken up again": tally.repeated,
        "calls of Claude": calls.total(),
        "calls whose node was killed before their response began": unknown,
        "micro-dollars spent": spent // 1000,
        "micro-dollars of the budget": budget // 1000,
    }


async def _open_runs(url: str) -> int:
    """Return how many runs are shown as open, now that all nodes have stopped."""
    server = PostgresServer(url, node="proof", key=b"a key of all nodes")
    store = PostgresStores(server).runs(ttl=_DAY, entries=_MAX_RECORDS)
    page = await store.page(RunQuery(statuses=("queued", "running")))
    await server.aclose()
    return len(page.runs) if page else 0


async def _end_nodes(made: Cluster) -> None:
    """Start nodes that are gone, so that they charge what they have left behind, and stop all."""
    for index, node in enumerate(made.nodes):
        if node.returncode is not None:
            await made.start(index)
    await asyncio.gather(*(made.stop(index) for index in range(3)))
