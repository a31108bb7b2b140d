"""Agents through the installed command: what a client may ask for, in every dialect, and what ends with them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import psutil
import pytest
from agent_harness import a_place, bash, call
from anthropic.types import MessageParam
from commands import run
from gateways import OLD, TIMEOUT, Watched, body, question, soon
from scripted import clean
from served import Served, served
from test_agent_servers import PROGRAM

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

AGENT: dict[str, Any] = {"claude": {"mode": "agent"}}
READ = bash("cat inside.txt")
DID = 'Bash {"command":"cat inside.txt"'
place = pytest.fixture(a_place)


@asynccontextmanager
async def allowed(place: Path, *arguments: str, **added: str) -> AsyncIterator[Served]:
    """A gateway whose agents may work there."""
    async with served(place.parent, "--allow-dir", str(place), "--spares", "0", *arguments, **added) as running:
        yield running


async def test_in_every_dialect_by_its_official_client(place: Path) -> None:
    """What it does streams as that dialect's thinking, what it says as its text; the model's name is not listed."""
    async with allowed(place) as running:
        chunks = [
            chunk.choices[0].delta
            async for chunk in await running.openai.chat.completions.create(
                model=f"{OLD}:agent", messages=question(READ), stream=True
            )
            if chunk.choices
        ]
        events = [
            event
            async for event in await running.openai.responses.create(
                model=f"{OLD}:agent", input=READ, reasoning={"summary": "auto"}, stream=True
            )
        ]
        async with (
            anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
            client.messages.stream(
                model=f"{OLD}:agent", max_tokens=1000, messages=[{"role": "user", "content": READ}]
            ) as stream,
        ):
            raw = [event async for event in stream]
            message = await stream.get_final_message()
            counted = await running.http.post("/messages/count_tokens", json={**body("Hi"), **AGENT})
        listed = await running.http.get("/models")
        text = await running.http.post("/completions", json={"model": f"{OLD}:agent", "prompt": "Once"})
    done = {
        "chat": "".join(getattr(delta, "reasoning_content", None) or "" for delta in chunks),
        "responses": "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta"),
        "messages": "".join(e.thinking for e in raw if e.type == "thinking"),
    }
    said = {
        "chat": "".join(delta.content or "" for delta in chunks),
        "responses": "".join(e.delta for e in events if e.type == "response.output_text.delta"),
        "messages": "".join(block.text for block in message.content if block.type == "text"),
    }
    for dialect, words in done.items():
        assert DID in words, dialect
        assert "→ WHAT STANDS INSIDE" in words, dialect
        assert said[dialect] == "The tool said: WHAT STANDS INSIDE", dialect
    assert message.stop_reason == "end_turn"
    assert listed.json()["data"]
    assert ":agent" not in listed.text
    assert (counted.status_code, counted.json()["error"]["details"]["param"]) == (400, "claude")
    assert (text.status_code, text.json()["error"]["param"]) == (400, "model")


async def test_messages_go_on(place: Path) -> None:
    """An agent's answer, sent back as it came, is no forged thinking: it can be asked on, with an agent and without."""
    ask: MessageParam = {"role": "user", "content": READ}
    async with (
        allowed(place) as running,
        anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
    ):
        made: Any = {"model": "claude-opus-5", "max_tokens": 1000}
        first = await client.messages.create(**made, messages=[ask], extra_body=AGENT)
        more: list[MessageParam] = [
            ask,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "And now?"},
        ]
        for beside in (AGENT, {}):
            raw = await client.messages.with_raw_response.create(**made, messages=more, extra_body=beside)
            answer = await raw.parse()
            assert [block.text for block in answer.content if block.type == "text"] == ["You said: And now?"]
            assert "messages[1].content" in raw.headers["x-dragoman-warnings"]


@pytest.mark.parametrize("spelling", ["snake", "camel"])
async def test_every_field(place: Path, spelling: str) -> None:
    """Each has its effect; a way through a link and `..` that ends inside is one that is allowed."""
    (place / "work").mkdir()
    (place / "further").mkdir()
    (place / "link").symlink_to("work")
    server = place.parent / "server.py"
    server.write_text(PROGRAM)
    new = place / "further" / "new.txt"
    asked = {
        "mode": "agent",
        "working_directory": f"{place}/work/../link",
        "permission_mode": "acceptEdits",
        "tools": ["Write"],
        "add_dirs": [str(place / "further")],
        "mcp_servers": {"keys": {"command": sys.executable, "args": ["-I", str(server)]}},
        "max_turns": 5,
        "max_budget_usd": 1.0,
    }
    if spelling == "camel":
        asked = {_camel(key): value for key, value in asked.items()}
    modes = [part for mode in ("acceptEdits", "bypassPermissions") for part in ("--allow-permission-mode", mode)]
    async with allowed(place, *modes, IS_SANDBOX="1") as running:
        words = call("Write", file_path=str(new), content="new")
        reply = await running.http.post("/chat/completions", json=body(words, claude=asked))
        calls = running.simulator.calls
    assert reply.status_code == 200, reply.text
    assert json.loads(reply.headers["x-dragoman-warnings"]) == []
    assert reply.json()["choices"][0]["finish_reason"] == "stop"
    assert new.read_text() == "new"
    tools: Any = calls[0].body["tools"]
    assert {tool["name"] for tool in tools} == {"Write", "mcp__keys__show"}
    assert str(place / "work") in json.dumps(calls[0].body)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@pytest.mark.parametrize(("limit", "value"), [("max_turns", 1), ("max_budget_usd", 1e-9)])
async def test_a_limit_is_told(place: Path, limit: str, value: float) -> None:
    """As an answer that was cut, with the reason as the last thing that it did."""
    async with allowed(place) as running:
        made = await running.openai.chat.completions.create(
            model=OLD, messages=question(READ), extra_body={"claude": {limit: value}}
        )
    [choice] = made.choices
    assert choice.finish_reason == "length"
    assert f"`{limit}`" in str(choice.message.reasoning_content).splitlines()[-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", [(), ("--backend", "api"), ("--backend", "cli")], ids=" ".join)
async def test_off(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Unless a directory is named, and on other backends; what to start instead is said."""
    async with served(tmp_path, *arguments) as running:
        replies = [
            await running.http.post("/chat/completions", json=body("Hi", **AGENT)),
            await running.http.post("/chat/completions", json={**body("Hi"), "model": "sonnet:agent"}),
            await running.http.post("/messages", json={**body("Hi"), "max_tokens": 9, **AGENT}),
        ]
        assert running.simulator.calls == []
    for reply in replies:
        error = reply.json()["error"]
        assert (reply.status_code, error.get("code") or error["details"]["code"]) == (403, "agents_off")
        assert "--allow-dir DIR" in error["message"]


async def test_a_directory_on_a_backend_without_agents(place: Path) -> None:
    """Nothing is started."""
    for backend in ("api", "cli"):
        ended = await run(place.parent, "serve", "--backend", backend, "--allow-dir", str(place), "-p", "0")
        assert ended.code != 0
        assert "--backend runtime" in ended.err


async def test_a_key_that_is_barred(place: Path) -> None:
    """It may ask, and start no agent; another may."""
    keys = "[keys.ann]\napi_key = 'key-of-ann'\n[keys.bob]\napi_key = 'key-of-bob'\nagents = false\n"
    (place.parent / "dragoman.toml").write_text(keys)
    async with allowed(place, "--config", "dragoman.toml") as running:
        told = {}
        for name in ("ann", "bob"):
            running.http.headers["authorization"] = f"Bearer key-of-{name}"
            for kind, beside in (("agent", AGENT), ("plain", {})):
                reply = await running.http.post("/chat/completions", json=body("Hi", **beside))
                told[name, kind] = reply.json().get("error", {}).get("code")
    assert told == {
        ("ann", "agent"): None,
        ("ann", "plain"): None,
        ("bob", "agent"): "agents_not_allowed",
        ("bob", "plain"): None,
    }


@pytest.mark.parametrize("way", ["cancel", "leave", "kill"])
async def test_an_end_that_takes_along_what_was_started(place: Path, way: str) -> None:
    """By `dragoman cancel`, by a client that leaves, by SIGKILL for the gateway: a command in a session of its own."""
    home, fifo = place.parent, place.parent / "fifo"
    os.mkfifo(fifo)
    command = f"setsid sh -c 'echo $$ > {fifo}; exec perl -e \"sleep 3600\"' & perl -e 'sleep 3600'"
    async with allowed(place, "--allow-tool", "Bash") as running:
        stream = await running.openai.chat.completions.create(
            model=OLD, messages=question(bash(command)), stream=True, extra_body=AGENT
        )
        watched = Watched(int(await soon(asyncio.to_thread(fifo.read_text))))
        if way == "cancel":
            assert (await run(home, "cancel", "last")).code == 0
            with pytest.raises(openai.APIError, match="cancel"):
                [_ async for _ in stream]
            [told] = json.loads((await run(home, "runs", "--json")).out)["runs"]
            assert (told["status"], told["path"]) == ("cancelled", "agent")
        elif way == "leave":
            await stream.close()
        else:
            running.process.kill()
        await watched.gone()
        await soon(asyncio.to_thread(_until_none_in, place))


def _until_none_in(place: Path) -> None:
    while _in(place):
        pass


def _in(place: Path) -> list[int]:
    """Processes that work there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == place:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


async def test_a_run_has_its_time(place: Path) -> None:
    """Also where a tool is at work; then it is an error that says so, and nothing goes on."""
    async with allowed(place, "--allow-tool", "Bash", "--run-timeout", "3") as running:
        reply = await running.http.post("/chat/completions", json=body(bash("perl -e 'sleep 3600'"), **AGENT))
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
        assert not _in(place)


async def test_agents_have_their_places_like_every_run(place: Path) -> None:
    """Where all are taken and nobody may wait, the next is told so; the place is free again afterwards."""
    fifo = place.parent / "fifo"
    os.mkfifo(fifo)
    async with allowed(place, "--allow-tool", "Bash", "--max-concurrency", "1", "--max-queue-size", "0") as running:
        stream = await running.openai.chat.completions.create(
            model=OLD,
            messages=question(bash(f"echo $$ > {fifo}; exec perl -e 'sleep 3600'")),
            stream=True,
            extra_body=AGENT,
        )
        watched = Watched(int(await soon(asyncio.to_thread(fifo.read_text))))
        full = await running.http.post("/chat/completions", json=body(READ, **AGENT))
        assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
        status = json.loads((await run(place.parent, "status", "--json")).out)
        assert '"agents": 1' in json.dumps(status)
        await stream.close()
        await watched.gone()
        while (reply := await running.http.post("/chat/completions", json=body(READ, **AGENT))).status_code == 429:
            pass
        assert reply.json()["choices"][0]["message"]["content"] == "The tool said: WHAT STANDS INSIDE"
