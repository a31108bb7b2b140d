"""Two nodes with directories of their own on one PostgreSQL server: any of them takes any turn."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import pytest
from engine_fixtures import RedisProcess
from gateways import TIMEOUT, chat_body
from scripted import clean

from dragoman.config.loading import BadSettings, load
from dragoman.config.settings import Settings
from dragoman.core.messages import JSONObject
from dragoman.simulator.server import Simulator
from dragoman.wiring.checks import check_settings
from dragoman.wiring.gateway import build

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

ADMIN = {"authorization": "Bearer an admin key of these tests"}
OWN = {"authorization": "Bearer the key of the gateway"}
KEY = "a key that both nodes have"


def settings_of(folder: Path, url: str, **more: object) -> Settings:
    """Return the settings of a node."""
    own = {"backend": "api", "anthropic_api_key": "sk-ant-dummy", "anthropic_base_url": url, "log_level": "off"}
    keys = {name: value["authorization"][7:] for name, value in (("admin_key", ADMIN), ("api_key", OWN))}
    return load({**own, **keys, "state_dir": folder, **more}, env_file=None)


@asynccontextmanager
async def nodes(
    folder: Path, database: str, **more: object
) -> AsyncIterator[tuple[Simulator, list[httpx.AsyncClient]]]:
    """Run two nodes. Return their upstream, and a client of each."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator())
        clients = []
        for name in ("one", "two"):
            settings = settings_of(folder / name, simulator.url, database=database, encryption_key=KEY, **more)
            gateway = await stack.enter_async_context(build(settings))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(gateway.app),
                base_url="http://127.0.0.1",
                headers=OWN,
                timeout=TIMEOUT,
            )
            clients.append(await stack.enter_async_context(client))
        yield simulator, clients


async def until(node: httpx.AsyncClient, key: dict[str, str], status: int) -> None:
    """Send a request until its status shows that the node has seen a change of the key: within a second, if idle."""
    async with asyncio.timeout(30):
        while (await node.post("/v1/chat/completions", json=chat_body("Hello"), headers=key)).status_code != status:  # noqa: ASYNC110 - no event: the client does no I/O
            await asyncio.sleep(0)


async def test_a_key_of_one_node_works_on_another_until_it_is_revoked(tmp_path: Path, database: str) -> None:
    """With one budget, one ledger and one audit log for both."""
    async with nodes(tmp_path, database) as (_, [one, two]):
        made = (await one.post("/admin/keys", json={"name": "ann", "rpm": 2}, headers=ADMIN)).json()
        theirs = {"authorization": f"Bearer {made['secret']}"}
        body = chat_body("Hello")
        await until(two, theirs, 200)
        assert (await one.post("/v1/chat/completions", json=body, headers=theirs)).status_code == 200
        refused = await two.post("/v1/chat/completions", json=body, headers=theirs)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert (await two.post("/admin/keys/ann/revoke", headers=ADMIN)).is_success
        await until(one, theirs, 401)
        audit = (await one.get("/admin/audit", headers=ADMIN)).json()
        assert [entry["action"] for entry in audit["entries"]] == ["revoke", "create"]


async def test_each_turn_may_go_to_another_node(tmp_path: Path, database: str) -> None:
    """A stored conversation, a repeated request, and the record of its run."""
    async with nodes(tmp_path, database) as (simulator, both):
        key = {"idempotency-key": "turn-0"}
        first = await both[0].post("/v1/responses", json={"model": "haiku", "input": "Say one"}, headers=key)
        again = await both[1].post("/v1/responses", json={"model": "haiku", "input": "Say one"}, headers=key)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == first.json()
        last = first.json()
        for turn in range(1, 4):
            body = {"model": "haiku", "input": f"Say turn {turn}", "previous_response_id": last["id"]}
            last = (await both[turn % 2].post("/v1/responses", json=body)).json()
        calls = [call for call in simulator.calls if call.path == "/v1/messages"]
        assert len(calls) == 4
        assert [message["role"] for message in cast("list[JSONObject]", calls[-1].body["messages"])].count("user") == 4
        # A node writes its records within a second, or when it is asked for them.
        runs = [(await node.get("/admin/runs", headers=ADMIN)).json()["runs"] for node in both * 2][2:]
        assert [run["id"] for run in runs[0]] == [run["id"] for run in runs[1]]
        assert len(runs[0]) == 4


async def test_nodes_with_redis_share_limits_and_the_response_cache(
    tmp_path: Path, database: str, own_redis: RedisProcess
) -> None:
    """Without it each continues: budgets work, the cache is passed by with a warning, and other limits say why."""
    redis = {"redis": own_redis.url, "response_cache": "1h"}
    async with nodes(tmp_path, database, **redis) as (simulator, [one, two]):
        made = (await one.post("/admin/keys", json={"name": "ann", "rpm": 1}, headers=ADMIN)).json()
        theirs = {"authorization": f"Bearer {made['secret']}"}
        await until(two, theirs, 200)
        refused = await one.post("/v1/chat/completions", json=chat_body("Something else"), headers=theirs)
        assert refused.status_code == 429
        first = await one.post("/v1/chat/completions", json=chat_body("Hello"))
        assert first.headers["x-dragoman-cache"] == "miss"
        async with asyncio.timeout(30):  # it is stored after it was sent
            while True:
                count = len(simulator.calls)
                again = await two.post("/v1/chat/completions", json=chat_body("Hello"))
                if again.headers["x-dragoman-cache"] == "hit":
                    break
        assert len(simulator.calls) == count
        own_redis.stop()
        passed = await two.post("/v1/chat/completions", json=chat_body("Hello once more"))
        assert (passed.status_code, passed.headers["x-dragoman-cache"]) == (200, "bypass")
        assert {"code": "not_kept", "param": "cache"} in json.loads(passed.headers["x-dragoman-warnings"])
        closed = await one.post("/v1/chat/completions", json=chat_body("Something else"), headers=theirs)
        assert closed.status_code == 503
        assert "Redis cannot be used" in closed.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"database": "mysql://h/n", "encryption_key": KEY}, "not an address of PostgreSQL"),
        ({"database": "postgresql://h/n"}, "needs encryption_key"),
        ({"database": "postgresql://h/n", "encryption_key": "short"}, "at least 16"),
        ({"redis": "redis://h"}, "needs database"),
        ({"redis": "http://h", "database": "postgresql://h/n", "encryption_key": KEY}, "not an address of Redis"),
    ],
)
def test_a_database_that_cannot_be_used_is_refused(tmp_path: Path, more: dict[str, object], text: str) -> None:
    """With what to do."""
    with pytest.raises(BadSettings, match=text):
        check_settings(settings_of(tmp_path, "http://127.0.0.1:1", **more))
