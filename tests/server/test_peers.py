"""Several workers: what one executes is seen, followed and ended through any other, and `/metrics` shows the sum."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import Script, Served, clean, hangs, opening, replies, served, text

from dragoman.server.peer_metrics import MetricsHistory, WorkerMetrics
from dragoman.server.peers import Peers

_clean = pytest.fixture(autouse=True)(clean)

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "sonnet", "messages": [{"role": "user", "content": "Say it"}]}
HANGS = hangs(after=[*opening(), text("Hel")])


@asynccontextmanager
async def two_workers(script: Script, folder: Path, **settings: Any) -> AsyncIterator[tuple[Served, Served]]:
    """Serve two workers of one gateway."""
    sockets = folder / "w"
    sockets.mkdir()
    async with AsyncExitStack() as stack:
        options = {"state_dir": folder / "state", **settings}
        one, two = [
            await stack.enter_async_context(served(script, peers=Peers(index, 2, sockets), **options))
            for index in range(2)
        ]
        yield one, two


async def running_id(gateway: Served) -> str:
    """Return the id of the run that is running."""
    while not (runs := (await gateway.http.get("/admin/runs", params={"status": "running"})).json()["runs"]):
        pass
    return str(runs[0]["id"])


async def test_a_run_is_followed_and_cancelled_through_another_worker(tmp_path: Path) -> None:
    """Its list, its events and its end. Its client gets the operator's error."""
    async with two_workers(HANGS, tmp_path) as (one, two), asyncio.TaskGroup() as group:
        client = group.create_task(one.http.post(CHAT, json=BODY))
        id_ = await running_id(two)
        events = ""
        async with two.http.stream("GET", f"/admin/runs/{id_}/events") as stream:
            async for part in stream.aiter_text():
                events += part
                if "Hel" in events and "cancelled" not in events:
                    break
        cancelled = await two.http.post(f"/admin/runs/{id_}/cancel")
        again = await two.http.post(f"/admin/runs/{id_}/cancel")
        shown = await two.http.get(f"/admin/runs/{id_}")
        answer = await client
    assert "event: run" in events
    assert cancelled.json()["status"] == shown.json()["status"] == "cancelled"
    assert again.status_code == 409
    assert (answer.status_code, answer.json()["error"]["code"]) == (499, "run_cancelled")


async def test_a_client_that_leaves_ends_only_its_own_request(tmp_path: Path) -> None:
    """The run that it followed through another worker continues."""
    async with two_workers(HANGS, tmp_path) as (one, two), asyncio.TaskGroup() as group:
        client = group.create_task(one.http.post(CHAT, json=BODY))
        id_ = await running_id(two)
        async with two.http.stream("GET", f"/admin/runs/{id_}/events") as stream:
            await anext(stream.aiter_text())
        assert not one.backend.ended.is_set()
        await two.http.post(f"/admin/runs/{id_}/cancel")
        await client


async def test_the_checks_hold_for_passed_requests(tmp_path: Path) -> None:
    """A client key may not use the operator's paths through another worker either."""
    keys = {"a": {"api_key": "secret-a"}}
    operator = {"authorization": "Bearer owner"}
    async with two_workers(HANGS, tmp_path, keys=keys, api_key="owner") as (one, two), asyncio.TaskGroup() as group:
        client = group.create_task(one.http.post(CHAT, json=BODY, headers={"x-api-key": "secret-a"}))
        await one.backend.started.wait()
        while not (runs := (await two.http.get("/admin/runs", headers=operator)).json()["runs"]):
            pass
        path = f"/admin/runs/{runs[0]['id']}/cancel"
        assert (await two.http.post(path, headers={"x-api-key": "secret-a"})).status_code == 403
        assert (await two.http.post(path)).status_code == 401
        assert (await two.http.post(path, headers=operator)).status_code == 200
        await client


async def test_a_background_response_is_read_and_cancelled_through_another_worker(tmp_path: Path) -> None:
    """At once: with its state, its events so far, and its end."""
    async with two_workers(HANGS, tmp_path) as (one, two):
        body = {"input": "Say it", "background": True, "stream": True}
        async with one.http.stream("POST", "/v1/responses", json=body) as stream:
            seen = ""
            async for part in stream.aiter_text():
                seen += part
                if "Hel" in seen:
                    break
        id_ = seen.partition('"id":"')[2].partition('"')[0]
        state = (await two.http.get(f"/v1/responses/{id_}")).json()["status"]
        async with two.http.stream("GET", f"/v1/responses/{id_}?stream=true") as stream:
            followed = ""
            async for part in stream.aiter_text():
                followed += part
                if "Hel" in followed:
                    break
        cancelled = (await two.http.post(f"/v1/responses/{id_}/cancel")).json()["status"]
        assert one.backend.ended.is_set()
    assert state == "in_progress"
    assert cancelled == "cancelled"


async def test_health_and_status_are_those_of_all_workers(tmp_path: Path) -> None:
    """A worker that is not ready makes the gateway not ready, whichever answers."""
    async with two_workers(replies("Hello"), tmp_path, max_concurrency=8) as (one, two):
        ready = await one.http.get("/health/ready")
        two.backend.not_ready_reason = "No sign-in."
        unready = [await worker.http.get("/health/ready") for worker in (one, two)]
        status = (await one.http.get("/admin/status")).json()
    assert ready.status_code == 200
    assert [(answer.status_code, answer.json()["reason"]) for answer in unready] == [
        (503, "Worker 1: No sign-in."),
        (503, "No sign-in."),
    ]
    assert [worker["worker"] for worker in status["workers"]] == [0, 1]
    assert status["runs"]["places"] == 16  # each was given the whole limit here


async def test_a_session_ends_in_every_worker(tmp_path: Path) -> None:
    """Every worker knows the cookie of a session, and none takes it after signing out."""
    async with two_workers(replies("Hello"), tmp_path, api_key="owner") as (one, two):
        token = (await one.http.post("/dashboard/session", headers={"authorization": "Bearer owner"})).json()["token"]
        cookie = one.http.cookies.jar
        cookies = {"cookie": "; ".join(f"dragoman-{httpx.URL(two.url).port}={item.value}" for item in cookie)}
        before = await two.http.get("/admin/nodes", headers=cookies)
        await one.http.delete("/dashboard/session", headers={"x-dragoman-token": token})
        after = await two.http.get("/admin/nodes", headers=cookies)
    assert (before.status_code, after.status_code) == (200, 401)


async def test_metrics_are_the_sum_and_do_not_fall(tmp_path: Path) -> None:
    """The counts of a worker that has ended stay; its gauges do not."""
    ok = 'dragoman_requests_total{method="POST",route="/v1/chat/completions",status="200"}'

    async def count(gateway: Served) -> float:
        lines = (await gateway.http.get("/metrics")).text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(ok)), 0.0)

    sockets = tmp_path / "w"
    sockets.mkdir()
    async with served(replies("Hello"), peers=Peers(0, 2, sockets), state_dir=tmp_path / "s") as one:
        await one.http.post(CHAT, json=BODY)
        async with served(replies("Hello"), peers=Peers(1, 2, sockets), state_dir=tmp_path / "s") as two:
            for _ in range(2):
                await two.http.post(CHAT, json=BODY)
            while await count(one) < 3:
                pass
            assert await count(two) == 3
        assert await count(one) == 3
        text = (await one.http.get("/metrics")).text
    assert "dragoman_ready 1.0" in text
    assert "dragoman_tasks" in text


def test_counts_of_each_worker_that_ended_are_kept_once(tmp_path: Path) -> None:
    """However often the metrics are read, and however many workers end one after the other."""

    def metrics(process: str, count: int) -> WorkerMetrics:
        text = f"# TYPE a_total counter\na_total {count}\n# TYPE g gauge\ng {count}\n"
        return WorkerMetrics(process, text)

    def total(current: dict[int, WorkerMetrics]) -> tuple[str, str]:
        lines = MetricsHistory(tmp_path, 2).merge(current).decode().splitlines()
        values = dict(line.split() for line in lines if not line.startswith("#"))
        return values.get("a_total", ""), values.get("g", "")

    assert total({0: metrics("p", 1), 1: metrics("q", 10)}) == ("11.0", "11.0")
    assert total({0: metrics("p", 2), 1: metrics("q", 10)}) == ("12.0", "12.0")
    assert total({1: metrics("q", 10)}) == ("12.0", "10.0")
    for _ in range(2):
        assert total({0: metrics("r", 5), 1: metrics("q", 10)}) == ("17.0", "15.0")
    for _ in range(2):
        assert total({0: metrics("s", 100), 1: metrics("t", 0)}) == ("117.0", "100.0")
    assert total({}) == ("117.0", "")
