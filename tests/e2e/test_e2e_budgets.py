"""Limits and budgets of the real command with four workers: exact, whatever clients and workers do."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import run
from gateways import chat_body
from scripted import clean
from served import Served, served

from dragoman.core.catalog import Catalog
from dragoman.core.pricing import max_nanodollars, nanodollars_of_calls

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

WORKERS = 4
ADMIN = {"authorization": "Bearer admin-secret"}
MODEL = Catalog().resolve("claude-sonnet-4-5").model.id
LONG: dict[str, Any] = chat_body("Count to 5000", max_tokens=2000)
"""Its response reaches its limit, so that it costs half of what it may cost."""
HELD: dict[str, Any] = chat_body("Count to 30\nSimulate: hold after 20", max_tokens=200, stream=True)
MAY_COST = max_nanodollars(MODEL, 4_000, 2000)
"""More than one of these requests can cost."""
_PATH = "/v1/chat/completions"


async def create_key(home: Path, name: str, *limits: str) -> dict[str, str]:
    """Create a key, and return the header with it."""
    ended = await run(home, "keys", "create", name, *limits, "--json")
    assert ended.code == 0, ended.err
    return {"authorization": f"Bearer {json.loads(ended.out)['secret']}"}


async def usage(home: Path, runs: int) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what `dragoman usage` shows for each key and status, once it has this many runs."""
    while True:
        ended = await run(home, "usage", "--by", "key,status", "--json")
        report = json.loads(ended.out)
        assert report["total"]["runs"] <= runs
        if report["total"]["runs"] == runs:
            return {(row["key"], row["status"]): row for row in report["rows"]}


async def send_many(http: httpx.AsyncClient, count: int, headers: Mapping[str, str]) -> Counter[str]:
    """Send requests at the same time. Return how often each outcome came."""
    answers = await asyncio.gather(*(http.post(_PATH, json=LONG, headers=headers) for _ in range(count)))
    return Counter("ok" if one.is_success else str(one.json()["error"]["code"]) for one in answers)


async def busy_worker(http: httpx.AsyncClient) -> int:
    """Return the process of the worker that executes the only open run, once all workers run."""
    while True:
        workers = (await http.get("/admin/status", headers=ADMIN)).json()["workers"]
        busy = [one["pid"] for one in workers if one["runs"]["running"]]
        if len(workers) == WORKERS and busy:
            return int(busy[0])


def counted(gateway: Served) -> int:
    """Return what the simulator has counted for complete responses, in nanodollars."""
    return sum(nanodollars_of_calls([call.usage], MODEL) for call in gateway.simulator.calls if call.finished)


async def test_budgets_and_limits_are_exact_on_four_workers(tmp_path: Path) -> None:
    """Clients at the same time, one that leaves, a worker that is killed: never over, nothing held, all counted."""
    budget = 6 * MAY_COST
    ann = await create_key(tmp_path, "ann", "--budget", f"{budget / 1e9:.9f}usd/month")
    bob = await create_key(tmp_path, "bob", "--rpm", "5")
    options = ("--backend", "api", "--workers", str(WORKERS), "--admin-key", "admin-secret")
    async with served(tmp_path, *options) as gateway:
        # A connection for each request: the workers share them.
        one_each = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=gateway.url, limits=one_each, timeout=300) as http:
            async with http.stream("POST", _PATH, json=HELD, headers=ann) as left:
                async for text in left.aiter_lines():
                    if "20" in text:
                        break
            await usage(tmp_path, 1)

            async with http.stream("POST", _PATH, json=HELD, headers=ann) as cut:
                lines = cut.aiter_lines()
                async for text in lines:
                    if "20" in text:
                        break
                os.kill(await busy_worker(http), signal.SIGKILL)
                with pytest.raises(httpx.RemoteProtocolError):
                    async for _ in lines:
                        pass
            gateway.simulator.release()

            began = time.monotonic()
            minute = await send_many(http, 20, bob)
            refilled = int((time.monotonic() - began) / 12)
            assert 5 <= minute["ok"] <= 5 + refilled
            assert minute["ok"] + minute["rate_limit_exceeded"] == 20

            outcomes: Counter[str] = Counter()
            while not outcomes["insufficient_quota"]:
                outcomes += await send_many(http, 12, ann)
            assert set(outcomes) <= {"ok", "rate_limit_exceeded", "insufficient_quota"}

            rows = await usage(tmp_path, 2 + minute["ok"] + outcomes["ok"])
            while any(one["reserved"] for one in await budgets(http)):
                pass
            [state] = await budgets(http)

        spent = {key: sum(row["nanodollars"] for (one, _), row in rows.items() if one == key) for key in ("ann", "bob")}
        assert rows["ann", "succeeded"]["nanodollars"] + spent["bob"] == counted(gateway)
        assert budget - MAY_COST < spent["ann"] <= budget
        assert state["used"] == f"${spent['ann'] / 1e9:.6f}"
        cut_rows = rows["ann", "cancelled"], rows["ann", "interrupted"]
        assert [row["runs"] for row in cut_rows] == [1, 1]
        assert len({row["input_tokens"] for row in cut_rows}) == 1
        assert all(row["nanodollars"] and row["output_tokens"] for row in cut_rows)


async def budgets(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return the state of each budget."""
    limits: list[dict[str, Any]] = (await http.get("/admin/limits", headers=ADMIN)).json()["limits"]
    return [{**one, "reserved": float(one["reserved"][1:])} for one in limits if one["unit"] == "dollars/month"]
