"""The dashboard over HTTP: its page, sessions, and the streams that it shows."""

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from scripted import KEY, MESSAGES, Served, clean, hangs, opening, replies, served

from dragoman.core.errors import Overloaded
from dragoman.core.value_object import replace
from dragoman.runs.feed import MAX_WAITING_RUNS, RunFeed
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run
from dragoman.server.admin.live import Selection
from dragoman.server.context import RequestContext
from dragoman.server.dashboard.session import MAX_AGE, Sessions
from dragoman.server.routes import DASHBOARD_MODULES
from dragoman.stores.crypto import KEY_BYTES, Cipher
from dragoman.stores.run_records import RunQuery, RunRecord
from dragoman.stores.sqlite.run_records import SQLiteRunStore

BODY = {"model": "sonnet", "messages": MESSAGES}
CLIENT_KEYS = [{"name": "ada", "api_key": "client-key"}]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use a state directory of the test."""
    clean(monkeypatch, tmp_path)
    monkeypatch.setenv("DRAGOMAN_STATE_DIR", str(tmp_path / "state"))


async def sign_in(gateway: Served, key: str = KEY) -> httpx.Response:
    """Sign in with a key."""
    return await gateway.http.post("/dashboard/session", headers={"authorization": f"Bearer {key}"})


async def test_page_is_strict_and_small() -> None:
    """The policy allows no inline script, no frame and nothing of others. All parts are under 100 KB compressed."""
    async with served(replies("Hello")) as gateway:
        page = await gateway.http.get("/dashboard")
        parts = [(await gateway.http.get(f"/dashboard/{name}")) for name in DASHBOARD_MODULES]
        known = await gateway.http.get("/dashboard/lib.js", headers={"if-none-match": parts[0].headers["etag"]})
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "connect-src 'self'"} <= {
        rule.strip() for rule in policy.split(";")
    }
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert {part.headers["content-type"] for part in parts} == {"text/javascript; charset=utf-8"}
    assert known.status_code == 304
    assert sum(len(gzip.compress(part.content)) for part in (page, *parts)) < 100_000
    assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")


async def test_open_without_keys() -> None:
    """A gateway without keys needs no sign-in."""
    async with served(replies("Hello")) as gateway:
        page = await gateway.http.get("/dashboard")
    assert 'data-access="open"' in page.text


async def test_session() -> None:
    """The cookie replaces the key, is hidden from scripts, and is not valid after signing out."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        before = await gateway.http.get("/dashboard")
        signed_in = await sign_in(gateway)
        cookie = signed_in.headers["set-cookie"]
        page = await gateway.http.get("/dashboard")
        runs = await gateway.http.get("/admin/runs")
        token = signed_in.json()["token"]
        value = cookie.partition(";")[0]
        signed_out = await gateway.http.delete("/dashboard/session", headers={"x-dragoman-token": token})
        after = await gateway.http.get("/admin/runs", headers={"cookie": value})
    assert 'data-access="signed-out"' in before.text
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert KEY not in cookie
    assert f'data-access="signed-in" data-token="{token}"' in page.text
    assert runs.status_code == 200
    assert "Max-Age=0" in signed_out.headers["set-cookie"]
    assert after.status_code == 401


async def test_sign_in_refused() -> None:
    """A wrong key opens no session."""
    async with served(replies("Hello"), api_key=KEY, keys=CLIENT_KEYS) as gateway:
        response = await sign_in(gateway, "wrong")
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "set-cookie" not in response.headers


async def test_a_member_sees_its_own_usage_only() -> None:
    """A client's key opens a session that shows what this key has used: not others, nor any path of the operator."""
    keys = [*CLIENT_KEYS, {"name": "bob", "api_key": "bobs-key"}]
    async with served(replies("Hello"), api_key=KEY, keys=keys) as gateway:
        for key, times in ((KEY, 1), ("client-key", 2), ("bobs-key", 3)):
            for _ in range(times):
                await gateway.http.post("/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}"})
        signed_in = await sign_in(gateway, "client-key")
        page = await gateway.http.get("/dashboard")
        used = (await gateway.http.get("/usage?by=day,model")).json()
        refused = [
            (await gateway.http.get(f"/usage?{query}")).status_code
            for query in ("key=bob", "team=x", "by=key", "by=model,team", "by=upstream", "key=ada&key=bob")
        ]
        operator = [
            (await gateway.http.get(path)).status_code
            for path in (
                "/admin/usage",
                "/admin/runs",
                "/admin/events",
                "/admin/keys",
                "/admin/settings",
                "/admin/audit",
            )
        ]
        forged = await gateway.http.post("/v1/chat/completions", json=BODY)
        by_key = (await gateway.http.get("/usage", headers={"x-api-key": "bobs-key"})).json()
    assert signed_in.json()["access"] == "member"
    assert 'data-access="member"' in page.text
    assert (used["key"], used["total"]["runs"], [row["runs"] for row in used["rows"]]) == ("ada", 2, [2])
    assert refused == [400] * 6
    assert operator == [403] * 6
    assert forged.status_code == 403
    assert (by_key["key"], by_key["total"]["runs"]) == ("bob", 3)


async def test_usage_needs_a_key() -> None:
    """Without a key the path is closed like any other; without keys it shows the only client there is."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        assert (await gateway.http.get("/usage")).status_code == 401
    async with served(replies("Hello")) as gateway:
        assert (await gateway.http.get("/usage")).json()["key"] == "local"


@pytest.mark.parametrize("token", [{}, {"x-dragoman-token": "0" * 32}])
async def test_forged_requests(token: dict[str, str]) -> None:
    """A request that changes something needs the page's token: the cookie alone starts and cancels nothing."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        await sign_in(gateway)
        sent = await gateway.http.post("/v1/chat/completions", json=BODY, headers=token)
        cancelled = await gateway.http.post("/admin/runs/run_1/cancel", headers=token)
        assert gateway.backend.requests == []
    assert sent.status_code == cancelled.status_code == 403
    assert cancelled.json()["error"]["code"] == "invalid_token"


async def test_token_lets_the_page_ask() -> None:
    """With cookie and token the page sends requests as the gateway's own key does."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        token = (await sign_in(gateway)).json()["token"]
        response = await gateway.http.post("/v1/chat/completions", json=BODY, headers={"x-dragoman-token": token})
    assert response.status_code == 200


def request_with(cookie: str) -> RequestContext:
    """Return the parts of a request that the session needs."""
    return cast(
        "RequestContext", SimpleNamespace(headers={b"cookie": cookie.encode()}, scope={"server": ("::1", 8787)})
    )


def test_sessions_end_with_time_and_key() -> None:
    """A session ends after its time, and is not valid for a gateway with another key file, nor if it was changed."""
    now = [1000.0]
    cipher = Cipher(b"1" * KEY_BYTES)
    sessions = Sessions(cipher, lambda: now[0])
    value, session = sessions.create("the-key")
    found = sessions.find(request_with(f"other=1; dragoman-8787={value}"))
    assert found == session
    assert Sessions(Cipher(b"2" * KEY_BYTES)).find(request_with(f"dragoman-8787={value}")) is None
    for broken in ("", "dragoman-8787=", "dragoman-8787=!", f"dragoman-8787={value[:-6]}AAAA=="):
        assert sessions.find(request_with(broken)) is None
    now[0] += MAX_AGE + 1
    assert sessions.find(request_with(f"dragoman-8787={value}")) is None


async def events(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Yield the events of a stream."""
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


async def test_live_runs() -> None:
    """The stream begins with the list, shows a run when it starts and ends, and ends when the gateway stops."""
    async with served(hangs(after=opening())) as gateway, gateway.http.stream("GET", "/admin/events") as response:
        stream = events(response)
        name, first = await anext(stream)
        assert (name, first["runs"], first["more"]) == ("snapshot", [], False)
        asking = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=BODY))
        statuses: list[object] = []
        async for name, data in stream:
            if name != "runs":
                continue
            for run in cast("list[dict[str, object]]", data["runs"]):
                statuses.append(run["status"])
                if run["status"] == "running":
                    await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
            if "cancelled" in statuses:
                break
        assert (await asking).status_code == 499 or asking.done()
        gateway.server.stop()
        assert [name async for name, _ in stream if name == "runs"] == []
    assert statuses[-1] == "cancelled"


def test_slow_feeds_miss_runs() -> None:
    """A feed keeps a bounded number of runs, each once, and counts what it left out."""
    feed = RunFeed()
    runs = [Run("local", "claude-sonnet-5-5") for _ in range(MAX_WAITING_RUNS + 3)]
    for run in [*runs, runs[0]]:
        feed.add(run)
    changed, missed = feed.take()
    assert (len(changed), missed) == (MAX_WAITING_RUNS, 3)
    assert feed.take() == ([], 0)


def test_busy_gateways_leave_runs_out() -> None:
    """Open runs come a few at once, and their ends always. Of the others, the newest come."""
    selection = Selection(())
    runs = [Run("local", "claude-sonnet-5-5") for _ in range(40)]
    assert selection.choose(runs) == (runs[:16], 0)
    assert selection.choose([]) == (runs[16:32], 0)
    for run in runs:
        run.fail(Overloaded("busy"))
    assert selection.choose(runs) == (runs[:32], 8)  # the last eight ended before there was room
    assert not selection.waiting
    ended = runs[:20]
    assert selection.choose(ended) == (sorted(ended[4:], key=lambda run: run.created_at), 4)


async def test_settings_without_secrets() -> None:
    """Every setting is listed with its group. Of a secret, only whether it is set."""
    async with served(replies("Hello"), api_key=KEY, keys=CLIENT_KEYS) as gateway:
        response = await gateway.http.get("/admin/settings", headers={"x-api-key": KEY})
    settings = {one["name"]: one for one in response.json()["settings"]}
    assert settings["api_key"]["value"] is True
    assert settings["keys"]["value"] == ["ada"]
    assert (settings["heartbeat"]["value"], settings["heartbeat"]["default"]) == (15.0, True)
    assert KEY not in response.text
    assert "client-key" not in response.text


async def test_cost_by_part() -> None:
    """A run's costs by part add up to its cost."""
    async with served(replies("Hello")) as gateway:
        id_ = (await gateway.http.post("/v1/chat/completions", json=BODY)).headers["x-dragoman-run-id"]
        run = (await gateway.http.get(f"/admin/runs/{id_}")).json()
    assert run["costs"]["output"] == pytest.approx(7e-5)
    assert sum(run["costs"].values()) == pytest.approx(run["cost"])


async def test_ten_thousand_runs_and_two_hundred_live_ones(tmp_path: Path) -> None:
    """The list shows live runs as they are now, before the newest of ten thousand others, and one page of these."""
    store = SQLiteRunStore(tmp_path / "runs.db", ttl=1e9, entries=20_000)
    record = RunRecord(
        id="run_0",
        request=None,
        status="succeeded",
        model="claude-sonnet-5-5",
        client="local",
        endpoint=None,
        created=1e9,
    )
    await store.save([replace(record, id=f"run_{index}", created=time.time()) for index in range(10_000)])
    registry = RunRegistry(store)
    for _ in range(200):
        run = Run("local", "claude-opus-5-5", registry.note)
        run.mark_running()
    await registry.flush()
    page = await registry.page(RunQuery(limit=500))
    await registry.aclose()
    assert [record.status for record in page.runs] == ["running"] * 200 + ["succeeded"] * 300
    assert (page.runs[200].id, page.more) == ("run_9999", True)
