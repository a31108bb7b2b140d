"""Three nodes behind nginx under faults: `make proof ARGS=--cluster`.

Nodes are killed and stopped for a while, Redis is flushed and killed, PostgreSQL is restarted. Clients repeat requests
that failed with their `Idempotency-Key`, and take up streams that were cut. Each request is answered with its own text,
or refused, or reported as interrupted. Claude is asked at most once for each; each call is in the ledger.
"""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
from clusters import Cluster, cluster
from engine_fixtures import Postgres, RedisProcess, started_postgres, started_redis

from dragoman.limits.rules import NANODOLLARS
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.run_records import RunQuery

_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
_FAULT_SECONDS = 2.0
_GIVE_UP_SECONDS = 120.0
_DOLLARS_OF_RUN = 0.0005
"""About a quarter more than what a run costs: the budget ends before the last runs."""
_MAX_TOKENS = 200
_DAY, _MAX_RECORDS = 86_400.0, 100_000
_OK = 200
_BUSY = frozenset({502, 503, 504})


@dataclass
class Tally:
    """How the requests ended.

    Attributes:
        outcomes: How many requests ended in each way.
        wrong: Requests whose answer was that of another, or not complete.
        lost: Requests that got no answer and no final error.
        cuts: How often a stream was cut and taken up again.
        faults: How often each fault was made.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    cuts: int = 0
    faults: Counter[str] = field(default_factory=Counter)


async def prove_cluster(runs: int, seed: int, at_once: int) -> int:
    """Run the proof, and print its table. Return the exit code."""
    began, tally = time.monotonic(), Tally()
    budget = runs * _DOLLARS_OF_RUN
    with started_postgres() as postgres, started_redis() as redis, tempfile.TemporaryDirectory() as folder:
        more = {"DRAGOMAN_REDIS": redis.url, "DRAGOMAN_BUDGET": f"{budget:.4f}usd/day", "DRAGOMAN_RETRIES": "0"}
        more |= {"DRAGOMAN_MAX_CONCURRENCY": "32"}
        async with cluster(Path(folder), postgres.url, **more) as made:
            numbers = iter(range(runs))
            disturbed = asyncio.create_task(_disturb(made, postgres, redis, tally, random.Random(seed)))  # noqa: S311 - repeatable on purpose
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(_client(made, numbers, seed, tally))
            disturbed.cancel()
            await asyncio.wait([disturbed])
            await _end_nodes(made)
            calls = Counter(_number_of(call.body) for call in made.upstream.calls)
            rows = _table(postgres.url, calls, tally, int(budget * NANODOLLARS))
            rows["runs still open"] = await _open_runs(postgres.url)
    print(f"`--cluster --runs {runs} --seed {seed}`, {time.monotonic() - began:.0f} s\n")
    print(f"Faults: {dict(tally.faults)}. Streams taken up again: {tally.cuts}. Requests: {dict(tally.outcomes)}.\n")
    print("| what | count |\n|---|---|")
    for name, count in rows.items():
        print(f"| {name} | {count} |")
    return int(any(rows.values()))


def _table(url: str, calls: Counter[int], tally: Tally, budget: int) -> dict[str, int]:
    """Return what must be zero."""
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = dragoman")

        def count(sql: str) -> int:
            [found] = connection.execute(sql).fetchone() or (0,)
            return int(found)

        rows = count("SELECT count(*) FROM ledger WHERE output > 0 OR input > 0")
        spent = count("SELECT coalesce(sum(nanodollars), 0) FROM ledger")
        loans = count("SELECT coalesce(sum(amount), 0) FROM loans")
    return {
        "answers wrong": len(tally.wrong),
        "requests asked twice": sum(number > 1 for number in calls.values()),
        "requests without an end": len(tally.lost),
        "micro-dollars over the budget": max(0, spent - budget) // 1000,
        "nanodollars still lent": loans,
        "calls of Claude without a row of the ledger": max(0, calls.total() - rows),
        "rows of the ledger without a call": max(0, rows - calls.total()),
    }


async def _open_runs(url: str) -> int:
    """Return how many runs are shown as open, now that all nodes have stopped."""
    server = PostgresServer(url, node="proof", key=b"a key of all nodes")
    store = PostgresStores(server).runs(ttl=_DAY, entries=_MAX_RECORDS)
    page = await store.page(RunQuery(statuses=("queued", "running")))
    await server.aclose()
    return len(page.runs) if page else 0


def _number_of(body: object) -> int:
    text = cast("Any", body)["messages"][0]["content"]
    words = text if isinstance(text, str) else text[0]["text"]
    return int(words.partition("n")[2].partition("\n")[0])


async def _end_nodes(made: Cluster) -> None:
    """Start nodes that are gone, so that they charge what they have left behind, and stop all."""
    for index, node in enumerate(made.nodes):
        if node.returncode is not None:
            await made.start(index)
    await asyncio.gather(*(made.stop(index) for index in range(3)))


async def _disturb(made: Cluster, postgres: Postgres, redis: RedisProcess, tally: Tally, rng: random.Random) -> None:
    """Make one fault after the other."""

    async def kill() -> None:
        index = rng.randrange(3)
        made.nodes[index].kill()
        await made.nodes[index].wait()
        await made.start(index)

    async def hang() -> None:
        node = made.nodes[rng.randrange(3)]
        node.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(1)
        finally:
            node.send_signal(signal.SIGCONT)

    async def replace_redis() -> None:
        redis.stop()
        await asyncio.sleep(1)
        await asyncio.to_thread(redis.start)

    async def restart_postgres() -> None:
        await asyncio.to_thread(postgres.control, "-m", "fast", "restart")

    faults: dict[str, Callable[[], Awaitable[None]]] = {
        "node killed": kill,
        "node hangs": hang,
        "Redis killed and empty": replace_redis,
        "PostgreSQL restarted": restart_postgres,
    }
    while True:
        await asyncio.sleep(_FAULT_SECONDS)
        name = rng.choices(list(faults), (4, 2, 2, 1))[0]
        tally.faults[name] += 1
        # A fault that has begun is ended, so that all nodes can be stopped afterwards.
        await asyncio.shield(asyncio.ensure_future(faults[name]()))


async def _client(made: Cluster, numbers: "Any", seed: int, tally: Tally) -> None:
    for number in numbers:
        rng = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
        kind = rng.choice(["plain", "streamed", "streamed", "background"])
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                outcome = await _KINDS[kind](made, number, tally)
        except TimeoutError:
            outcome = "lost"
            tally.lost.append(number)
        tally.outcomes[outcome] += 1


def _prompt(number: int) -> str:
    return f"Repeat 20 times: n{number}\nSimulate: pace 0.02"


def _judge(tally: Tally, number: int, text: str) -> str:
    if text.split() != [f"n{number}"] * 20:
        tally.wrong.append(number)
        return "wrong"
    return "answered"


async def _send(made: Cluster, path: str, body: dict[str, Any], number: int) -> httpx.Response | str:
    """Send a request until it has an end. Return the response, or how it was refused."""
    while True:
        with suppress(httpx.TransportError):
            answer = await made.http.post(path, json=body, headers={"idempotency-key": f"key-{number}"})
            if answer.status_code == _OK:
                return answer
            if refusal := _final(answer):
                return refusal
        await asyncio.sleep(0.3)


def _final(answer: httpx.Response) -> str:
    """Return the code of an error that stays; "" if the request may be repeated with the same key."""
    if answer.status_code in _BUSY:
        return ""
    code = str(answer.json()["error"]["code"])
    return "" if code in {"idempotent_request_in_progress", "rate_limit_exceeded"} else code


async def _plain(made: Cluster, number: int, tally: Tally) -> str:
    messages = [{"role": "user", "content": _prompt(number)}]
    body = {"model": "haiku", "messages": messages, "max_tokens": _MAX_TOKENS}
    answer = await _send(made, _CHAT, body, number)
    if isinstance(answer, str):
        return answer
    return _judge(tally, number, answer.json()["choices"][0]["message"]["content"])


async def _streamed(made: Cluster, number: int, tally: Tally) -> str:
    messages = [{"role": "user", "content": _prompt(number)}]
    body = {"model": "haiku", "messages": messages, "max_tokens": _MAX_TOKENS, "stream": True}
    text, last = "", ""
    while True:
        headers = {"idempotency-key": f"key-{number}"} | ({"last-event-id": last} if last else {})
        try:
            async with made.http.stream("POST", _CHAT, json=body, headers=headers) as stream:
                if stream.status_code != _OK:
                    await stream.aread()
                    if refusal := _final(stream):
                        return refusal
                else:
                    event: dict[str, str] = {}
                    async for line in stream.aiter_lines():
                        name, _, value = line.partition(": ")
                        if line:
                            event[name] = value
                            continue
                        last = event.get("id", last)
                        data, event = event.get("data", ""), {}
                        if data == "[DONE]":
                            return _judge(tally, number, text)
                        if '"error"' in data:
                            return "error in the stream"
                        text += _delta(data)
        except httpx.TransportError:
            tally.cuts += 1
        await asyncio.sleep(0.3)


def _delta(data: str) -> str:
    choices = httpx.Response(_OK, content=data).json()["choices"] if data else []
    return str(choices[0]["delta"].get("content") or "") if choices else ""


async def _background(made: Cluster, number: int, tally: Tally) -> str:
    body = {"model": "haiku", "input": _prompt(number), "max_output_tokens": _MAX_TOKENS, "background": True}
    answer = await _send(made, _RESPONSES, body, number)
    if isinstance(answer, str):
        return answer
    response = answer.json()
    while response["status"] in {"queued", "in_progress"}:
        await asyncio.sleep(0.3)
        with suppress(httpx.TransportError):
            polled = await made.http.get(f"{_RESPONSES}/{response['id']}")
            if polled.status_code == _OK:
                response = polled.json()
    if response["status"] != "completed":
        return f"background: {response['error']['code']}"
    return _judge(tally, number, response["output"][0]["content"][0]["text"])


_KINDS: dict[str, Callable[[Cluster, int, Tally], Awaitable[str]]] = {
    "plain": _plain,
    "streamed": _streamed,
    "background": _background,
}
