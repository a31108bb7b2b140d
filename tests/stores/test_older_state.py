"""The state directory of an older version opens: responses, chats, run records, thinking, budgets and sealed reasoning.

`older_state/` was written by commit 6038ef0 (`serve --backend api --simulate --runs-content`, with time limits of 300
years). `response.json` is the first response as its client received it.
"""

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from dragoman.config.loading import load
from dragoman.stores.base import EntryQuery
from dragoman.stores.run_records import RunQuery
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.stores.sqlite.responses import SQLiteResponseStore
from dragoman.stores.sqlite.run_records import SQLiteRunStore
from dragoman.stores.sqlite.spending import read_spending
from dragoman.testing import Clock
from dragoman.wiring.gateway import build

FILES = Path(__file__).parent / "older_state"
FIRST = "resp_9bee621dfcf0558e71a2463bd9f1f75b"
SECOND = "resp_9c6e26df9e220ccbcf8454cbcee5b893"
CHAT = "chatcmpl-c60944a45c05bc53fee1293e5b6dbf63"
RUN = "run_9bee621dfcf0558e71a2463bd9f1f75b"
QUESTION = 'Say "hello"'
CALL = 'get_weather {"city": "Paris"}'
TOOL = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a copy of the older state directory."""
    return shutil.copytree(FILES, tmp_path / "state")


@pytest.fixture
def clock() -> Clock:
    """Return a clock that shows the time of the files."""
    made = Clock()
    made.now = 1795844150.0
    return made


async def test_stored_responses_are_read(state: Path, clock: Clock) -> None:
    """With their metadata, as a chain and as a list."""
    async with aclosing(SQLiteResponseStore(state / "answers.db", clock=clock)) as store:
        found = await store.get("key", CHAT)
        assert found is not None
        assert (found.entry.kind, found.entry.metadata, found.pending) == ("chat", {"team": "blue"}, False)
        assert [entry.id for entry in await store.chain("key", SECOND)] == [FIRST, SECOND]
        page = await store.page("key", EntryQuery(kind="response", metadata={"team": "red"}))
        assert page is not None
        assert [entry.id for entry in page.entries] == [FIRST]


async def test_run_records_are_read(state: Path, clock: Clock) -> None:
    """With prompt and response, which are encrypted."""
    async with aclosing(SQLiteRunStore(state / "runs.db", ttl=1e6, entries=100, clock=clock)) as store:
        page = await store.page(RunQuery(statuses=("succeeded",), client="key"))
        assert page is not None
        assert [run.endpoint for run in page.runs] == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]
        run = await store.get(RUN)
    assert run is not None
    assert run.prompt is not None
    assert run.response is not None
    assert QUESTION in json.dumps(run.prompt["messages"]).replace('\\"', '"')
    assert run.response["role"] == "assistant"
    assert (run.path, run.model, run.ended is not None) == ("api", "claude-sonnet-5-5", True)


async def test_thinking_is_decrypted(state: Path, clock: Clock) -> None:
    """By the names under which it was stored."""
    with closing(sqlite3.connect(state / "thinking.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM kept").fetchall()]
    async with aclosing(SQLiteKeyValueStore(state / "thinking.db", ttl=1e6, entries=100, clock=clock)) as store:
        found = await store.get(names)
    assert found.keys() == set(names)
    assert [b"get_weather" in value for value in found.values()].count(True) == 1


async def test_spending_is_read_and_counted_once(state: Path, tmp_path: Path) -> None:
    """As a row of the ledger for each upstream and day."""
    rows = read_spending(state / "budgets.db")
    assert [(row.upstream, row.began, row.nanodollars) for row in rows] == [("main", 1_795_478_400.0, 1_500_000_000)]
    async with aclosing(SQLiteLedger(tmp_path / "ledger.db")) as ledger:
        assert [len(await ledger.add(rows)) for _ in range(2)] == [1, 0]


@pytest.fixture
async def gateway(
    state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Run a gateway on the older state. Yield a client of the gateway and one of its simulator."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    given = {"backend": "api", "simulate": True, "state_dir": state, "api_key": "k", "log_level": "off"}
    lasting = {"runs_ttl": 1e10, "store_ttl": 1e10, "thinking_ttl": 1e10}
    async with build(load({**given, **lasting}, env_file=None)) as running:
        assert running.simulator is not None
        transport = httpx.ASGITransport(running.app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers={"x-api-key": "k"}) as client,
            httpx.AsyncClient(base_url=running.simulator, timeout=300) as simulator,
        ):
            yield client, simulator


Clients = tuple[httpx.AsyncClient, httpx.AsyncClient]


async def sent_messages(simulator: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return the messages of the last request that reached the simulator."""
    received = (await simulator.get("/_simulator/received")).json()
    messages: list[dict[str, Any]] = received[-1]["body"]["messages"]
    return messages


async def test_the_gateway_returns_stored_responses_chats_and_runs(gateway: Clients) -> None:
    """As the older version would."""
    client, _ = gateway
    stored = (await client.get(f"/v1/responses/{FIRST}")).json()
    returned = json.loads((FILES / "response.json").read_text())
    assert stored == returned
    chat = (await client.get(f"/v1/chat/completions/{CHAT}")).json()
    assert chat["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"Paris"}'
    run = (await client.get(f"/admin/runs/{RUN}")).json()
    assert (run["status"], run["asked"]["messages"][0]["content"][0]["text"]) == ("succeeded", QUESTION)


async def test_a_stored_response_can_be_continued(gateway: Clients) -> None:
    """The upstream request holds the whole conversation."""
    client, simulator = gateway
    body = {"model": "sonnet", "input": "Repeat 1 times: on", "previous_response_id": SECOND}
    response = await client.post("/v1/responses", json=body)
    assert response.status_code == 200
    texts = json.dumps(await sent_messages(simulator))
    assert all(text in texts for text in ("hello", "Repeat 2 times: yes", "yes yes", "Repeat 1 times: on"))


async def test_stored_thinking_is_restored(gateway: Clients) -> None:
    """For a client that sends a tool's result without the thinking of the call."""
    client, simulator = gateway
    chat = (await client.get(f"/v1/chat/completions/{CHAT}")).json()
    calls = chat["choices"][0]["message"]["tool_calls"]
    messages = [
        {"role": "user", "content": CALL},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "Sunny"},
    ]
    body = {"model": "sonnet", "reasoning_effort": "high", "messages": messages}
    response = await client.post(
        "/v1/chat/completions", json={**body, "tools": [{"type": "function", "function": TOOL}]}
    )
    assert response.status_code == 200
    kinds = [block["type"] for block in (await sent_messages(simulator))[1]["content"]]
    assert kinds == ["thinking", "tool_use"]


async def test_reasoning_that_a_client_holds_is_decrypted(gateway: Clients) -> None:
    """`encrypted_content` of an older version becomes thinking again."""
    client, simulator = gateway
    output = json.loads((FILES / "response.json").read_text())["output"]
    user = {"role": "user", "content": QUESTION}
    body = {"model": "sonnet", "store": False, "input": [user, *output, {"role": "user", "content": "And now?"}]}
    response = await client.post("/v1/responses", json={**body, "reasoning": {"effort": "high"}})
    assert response.status_code == 200
    kinds = [block["type"] for block in (await sent_messages(simulator))[1]["content"]]
    assert kinds == ["thinking", "text"]
