"""Three nodes on one PostgreSQL server: what one executes is seen, followed and ended through any other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted import Script, ScriptedBackend, Served, clean, hangs, opening, pauses, replies, served, text

from dragoman.config.loading import BadSettings, load
from dragoman.server.peer_channel import Channel, NodeKey, WrongKeyError
from dragoman.stores.crypto import Cipher
from dragoman.stores.postgres.server import PostgresServer
from dragoman.wiring.gateway import build
from dragoman.wiring.stores import check_database

_clean = pytest.fixture(autouse=True)(clean)

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "sonnet", "messages": [{"role": "user", "content": "Say it"}]}
NEXT = {"model": "sonnet", "messages": [*BODY["messages"], {"role": "assistant", "content": "It"}, *BODY["messages"]]}
HANGS = hangs(after=[*opening(), text("Hel")])
KEY = {"idempotency-key": "order-1"}


@asynccontextmanager
async def nodes(script: Script, folder: Path, database: str, **settings: Any) -> AsyncIterator[list[Served]]:
    """Serve three nodes that know each other."""
    options: dict[str, Any] = {"database": database, "encryption_key": "a key of all nodes", **settings}
    async with AsyncExitStack() as stack:
        served_nodes = [
            await stack.enter_async_context(
                served(script, state_dir=folder / name, node_address="127.0.0.1:0", **options)
            )
            for name in ("one", "two", "three")
        ]
        for node in served_nodes:
            while len((await node.http.get("/admin/status")).json()["nodes"]) < len(served_nodes):
                pass
        yield served_nodes


async def running_id(node: Served) -> str:
    """Return the id of the run that is running."""
    while not (runs := (await node.http.get("/admin/runs", params={"status": "running"})).json()["runs"]):
        pass
    return str(runs[0]["id"])


async def test_a_run_is_followed_and_cancelled_through_another_node(tmp_path: Path, database: str) -> None:
    """Its list, its events and its end. A background response likewise."""
    async with nodes(HANGS, tmp_path, database) as (one, two, three), asyncio.TaskGroup() as group:
        client = group.create_task(one.http.post(CHAT, json=BODY))
        id_ = await running_id(two)
        events = ""
        async with three.http.stream("GET", f"/admin/runs/{id_}/events") as stream:
            async for part in stream.aiter_text():
                events += part
                if "Hel" in events:
                    break
        cancelled = await two.http.post(f"/admin/runs/{id_}/cancel")
        again = await three.http.post(f"/admin/runs/{id_}/cancel")
        answer = await client
        body = {"input": "Say it", "background": True}
        response = (await one.http.post("/v1/responses", json=body)).json()["id"]
        ended = (await three.http.post(f"/v1/responses/{response}/cancel")).json()["status"]
    assert cancelled.json()["status"] == ended == "cancelled"
    assert again.status_code == 409
    assert (answer.status_code, answer.json()["error"]["code"]) == (499, "run_cancelled")


async def test_a_stream_continues_on_any_node(tmp_path: Path, database: str) -> None:
    """A repeated request follows the first one live, from its beginning or after the last event that its client has."""
    proceed = asyncio.Event()
    async with nodes(pauses(proceed), tmp_path, database) as (one, two, three), asyncio.TaskGroup() as group:
        body = BODY | {"stream": True}
        first = group.create_task(one.http.post(CHAT, json=body, headers=KEY))
        await one.backend.started.wait()
        repeated = group.create_task(two.http.post(CHAT, json=body, headers=KEY))
        rest = group.create_task(three.http.post(CHAT, json=body, headers=KEY | {"last-event-id": "0"}))
        async with two.http.stream("POST", CHAT, json=body, headers=KEY) as live:
            lines = live.aiter_lines()
            while "Hel" not in await anext(lines):
                pass
        other = await three.http.post(CHAT, json=NEXT, headers=KEY)
        proceed.set()
    assert repeated.result().text == first.result().text
    assert (
        rest.result().text == first.result().text.partition("id: 1\n")[1] + first.result().text.partition("id: 1\n")[2]
    )
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert [len(node.backend.requests) for node in (one, two, three)] == [1, 0, 0]


async def test_a_node_that_stops_hands_queued_responses_over(tmp_path: Path, database: str) -> None:
    """Another one generates them under the same id. What had begun ends where it is. Claude is asked once for each."""
    proceed = asyncio.Event()
    async with nodes(pauses(proceed), tmp_path, database, max_concurrency=1, shutdown_grace=300) as (one, two, three):
        body = {"input": "Say it", "background": True}
        ids = [(await one.http.post("/v1/responses", json=body)).json()["id"] for _ in range(2)]
        await one.backend.started.wait()
        one.server.stop()
        while not two.backend.requests and not three.backend.requests:
            await two.http.get("/health")
        proceed.set()
        for id_ in ids:
            while (await two.http.get(f"/v1/responses/{id_}")).json()["status"] != "completed":
                pass
    assert len(one.backend.requests) == len(two.backend.requests + three.backend.requests) == 1


async def test_the_next_turn_goes_to_the_node_that_holds_the_conversation(tmp_path: Path, database: str) -> None:
    """Once, with its limits and its record there. If it declines, the turn is answered where it came."""
    async with nodes(replies("Hello"), tmp_path, database, max_concurrency=1) as (one, two, three):

        async def turn(node: Served, path: str = CHAT, **headers: str) -> int:
            """Send the next turn to a node. Return the number of the node that answered."""
            before = [len(each.backend.requests) for each in (one, two, three)]
            answer = await node.http.post(path, json=NEXT, headers=headers)
            assert answer.json()["choices"][0]["message"]["content"] == "Hello"
            after = [len(each.backend.requests) for each in (one, two, three)]
            [answered] = [index for index in range(3) if after[index] > before[index]]
            return answered

        one.backend.held("local 3", True)
        while await turn(three) != 0:  # it learns of it within one look at the list of nodes
            pass
        assert await turn(two, **KEY) == 0
        assert await turn(two, "/openai/deployments/sonnet/chat/completions") == 0
        assert await turn(one) == 0
        counted = await one.metrics_text()
        one.backend.script = HANGS
        held = asyncio.create_task(one.http.post(CHAT, json=BODY))
        id_ = await running_id(two)
        assert await turn(three) == 2  # its only slot is taken
        await two.http.post(f"/admin/runs/{id_}/cancel")
        await held
        one.backend.held("local 3", False)
        while await turn(three) != 2:
            pass
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="succeeded"}' in counted


async def test_a_turn_that_was_not_accepted_in_time_runs_once(tmp_path: Path, database: str) -> None:
    """A process that accepts a turn runs it only when it then gets the request."""
    async with nodes(replies("Hello"), tmp_path, database) as (one, two, _):
        one.backend.held("local 3", True)
        key = NodeKey(Cipher(PostgresServer(database, node="", key=b"a key of all nodes").derived_key("nodes")), "four")
        [own, *_others] = (await one.http.get("/admin/status")).json()["nodes"]
        late = await key.connect(own["address"], own["process"])
        late.write(["turn", "local 3"])
        assert await late.read() is True
        late.close()
        while (await two.http.post(CHAT, json=NEXT)).is_success and not one.backend.requests:
            pass
    assert len(one.backend.requests) == 1


async def test_forwarding_can_be_off(tmp_path: Path, database: str) -> None:
    """Every turn is answered where it comes."""
    async with nodes(replies("Hello"), tmp_path, database, forward_turns=False) as (one, two, _):
        one.backend.held("local 3", True)
        for _attempt in range(3):
            await two.http.post(CHAT, json=NEXT)
        assert (len(one.backend.requests), len(two.backend.requests)) == (0, 3)


async def test_a_connection_needs_the_key() -> None:
    """Of all nodes, for this process, and each connection is accepted once."""
    secret = Cipher(b"k" * 32)
    refused: asyncio.Queue[str] = asyncio.Queue()
    accepted: asyncio.Queue[Channel] = asyncio.Queue()
    copies: asyncio.Queue[bytes] = asyncio.Queue()
    key = NodeKey(secret, "one")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            accepted.put_nowait(await key.accept(reader, writer))
        except WrongKeyError as error:
            refused.put_nowait(str(error))
            writer.close()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        copies.put_nowait(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    listening = await asyncio.start_server(copy, "127.0.0.1", 0)
    address, copied = (f"127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in (server, listening))
    ours = await NodeKey(secret, "two").connect(address, "one")
    ours.write({"a": 1})
    theirs = await accepted.get()
    assert await theirs.read() == {"a": 1}
    theirs.write([b"x"])
    assert await ours.read() == [b"x"]
    for other in (
        await NodeKey(Cipher(b"j" * 32), "two").connect(address, "one"),
        await NodeKey(secret, "two").connect(address, "three"),
        await NodeKey(secret, "two", lambda: 0.0).connect(address, "one"),
    ):
        with pytest.raises((EOFError, OSError)):
            await other.read()
        other.close()
    (await NodeKey(secret, "two").connect(copied, "one")).close()
    recorded = await copies.get()
    for _ in range(2):
        _, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(recorded)
        await writer.drain()
        writer.close()
    (await accepted.get()).close()
    for _ in range(4):
        await refused.get()
    for channel in (ours, theirs):
        channel.close()
    for each in (server, listening):
        each.close()
        await each.wait_closed()
    assert accepted.empty()


async def test_a_port_that_is_taken_is_refused(tmp_path: Path, database: str) -> None:
    """With the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        options = {"state_dir": tmp_path, "database": database, "encryption_key": "k" * 16, "node_address": address}
        with pytest.raises(BadSettings, match="--node-address"):
            async with build(load({**options, "log_level": "off"}, env_file=None), ScriptedBackend(replies("Hello"))):
                pass


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "needs database"),
        ({"database": "postgresql://h/n", "encryption_key": "k" * 16}, "not HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path: Path, more: dict[str, str], words: str) -> None:
    """With what to do."""
    settings = load({"state_dir": tmp_path, "node_address": "10.0.0.1", **more}, env_file=None)
    with pytest.raises(BadSettings, match=words):
        check_database(settings)


async def test_a_gateway_that_stops_takes_requests_until_the_delay_is_over() -> None:
    """It is not ready meanwhile, and each response ends its connection. A second signal ends the delay."""
    async with served(replies("Hello"), shutdown_delay=600.0) as gateway:
        gateway.server.stop()
        while (ready := await gateway.http.get("/health/ready")).status_code == 200:
            pass
        answer = await gateway.http.post(CHAT, json=BODY)
        gateway.server.stop()
    assert ready.json()["reason"] == "The gateway is stopping."
    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
