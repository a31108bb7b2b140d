"""Several worker processes on one port: a kill, a cancel, a repeated request, and the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from backend_harness import children_of
from gateways import chat_body, with_timeout
from scripted import clean
from served import Served, served

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

HELD = "Count to 9\nSimulate: hold after 2"
KEY = {"idempotency-key": "order-1"}


@asynccontextmanager
async def workers(home: Path, *arguments: str) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    """Start a gateway with two workers, and a client that uses a new connection for each request."""
    async with served(home, "--backend", "api", "--workers", "2", *arguments) as gateway:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=300) as http:
            yield gateway, http


async def pids(http: httpx.AsyncClient) -> dict[int, int]:
    """Return the process of each worker that answers."""
    status = (await http.get("/admin/status")).json()
    return {one["worker"]: one["pid"] for one in status["workers"]}


async def owner(http: httpx.AsyncClient, count: int) -> int:
    """Return the process that executes the only open run, once two workers run."""
    while len(await pids(http)) < count:
        pass
    status = (await http.get("/admin/status")).json()
    return next(int(one["pid"]) for one in status["workers"] if one["runs"]["running"])


async def running_run(http: httpx.AsyncClient) -> str:
    """Return the id of the running run, once it is recorded: before that, another worker does not list it."""
    while True:
        answer = await http.get("/admin/runs", params={"status": "running"})
        if runs := answer.json()["runs"]:
            return str(runs[0]["id"])


async def test_a_worker_that_is_killed_loses_only_its_own_streams(tmp_path: Path) -> None:
    """The other one serves at once, its run is recorded as interrupted, and it is started again."""
    async with workers(tmp_path) as (gateway, http):
        async with http.stream("POST", "/v1/chat/completions", json=chat_body(HELD, stream=True), headers=KEY) as cut:
            lines = cut.aiter_lines()
            await anext(lines)
            killed = await owner(http, 2)
            await running_run(http)
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in lines:
                    pass
        answers = [await http.post("/v1/chat/completions", json=chat_body("Hello")) for _ in range(4)]
        repeated = await http.post("/v1/chat/completions", json=chat_body(HELD, stream=True), headers=KEY)
        assert [answer.status_code for answer in answers] == [200] * 4
        assert repeated.json()["error"]["code"] == "idempotent_request_interrupted"
        async with asyncio.timeout(60):
            while killed in (now := await pids(http)).values() or len(now) < 2:
                pass
        runs = (await http.get("/admin/runs", params={"status": "failed"})).json()["runs"]
        assert [run["error"] for run in runs] == ["interrupted"]
        assert (await http.get("/health/ready")).status_code == 200
        process = gateway.process
        children = children_of(process.pid)
    assert process.returncode == 0
    assert not any(psutil.pid_exists(child) for child in children)


async def test_what_one_worker_does_is_reached_through_all(tmp_path: Path) -> None:
    """A repeated request follows the run on whichever connection it comes, and the operator cancels it from any."""
    async with workers(tmp_path) as (gateway, http):
        body = chat_body(HELD, stream=True)

        async def send(headers: Mapping[str, str]) -> str:
            return (await http.post("/v1/chat/completions", json=body, headers=headers)).text

        async with asyncio.TaskGroup() as group:
            first = group.create_task(send(KEY))
            await with_timeout(gateway.simulator.wait_for_calls(1))
            while len(await pids(http)) < 2:
                pass
            others = [group.create_task(send(KEY)) for _ in range(8)]
            refused = await http.post("/v1/chat/completions", json=chat_body("Other"), headers=KEY)
            gateway.simulator.release()
        texts = {first.result(), *(task.result() for task in others)}
        assert refused.status_code == 422
        assert (len(texts), len(gateway.simulator.calls)) == (1, 1)
        rest = await send(KEY | {"last-event-id": "2"})
        assert rest
        assert first.result().endswith(rest)

        gateway.simulator.hold()
        running = asyncio.create_task(http.post("/v1/chat/completions", json=chat_body("Hello")))
        await with_timeout(gateway.simulator.wait_for_calls(2))
        id_ = await running_run(http)
        statuses: list[Any] = [(await http.post(f"/admin/runs/{id_}/cancel")).status_code for _ in range(6)]
        assert statuses == [200, *[409] * 5]
        assert (await running).json()["error"]["code"] == "run_cancelled"
        metrics = {(await http.get("/metrics")).text.count('status="cancelled"') for _ in range(4)}
        assert metrics == {1}


async def test_the_supervisor_is_killed(tmp_path: Path) -> None:
    """Its workers end by themselves: nothing would start or stop them any more."""
    async with workers(tmp_path) as (gateway, http):
        while len(await pids(http)) < 2:
            pass
        children = children_of(gateway.process.pid)
        gateway.process.kill()
        async with asyncio.timeout(60):
            while any(_runs(child) for child in children):
                await asyncio.to_thread(os.sched_yield)


async def test_workers_that_stop_refuse_connections_at_once(tmp_path: Path) -> None:
    """The supervisor does not keep the socket: a connection that no worker takes would wait for the end of all."""
    async with workers(tmp_path, "--shutdown-grace", "600s") as (gateway, http):
        while len(await pids(http)) < 2:
            pass
        async with http.stream("POST", "/v1/chat/completions", json=chat_body(HELD, stream=True)) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            gateway.process.terminate()
            with suppress(httpx.ConnectError):
                while True:
                    assert (await with_timeout(http.get("/health"))).status_code == 200
            gateway.simulator.release()
            assert [line async for line in lines if line][-1] == "data: [DONE]"
        assert await with_timeout(gateway.process.wait()) == 0


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
