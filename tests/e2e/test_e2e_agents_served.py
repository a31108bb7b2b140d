"""Agents through the installed command: every field and dialect, limits, and what ends together with an agent."""

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
from agent_harness import HARMLESS, bash, call, create_directory, needs_boundary
from anthropic.types import MessageParam
from commands import run
from gateways import OLD, TIMEOUT, WatchedProcess, chat_body, user_message, with_timeout
from scripted import clean
from served import Served, served
from test_agent_servers import PROGRAM

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

AGENT: dict[str, Any] = {"claude": {"mode": "agent"}}
READ_PROMPT = bash("cat inside.txt")
TOOL_CALL = 'Bash {"command":"cat inside.txt"'
workspace = pytest.fixture(create_directory)


@asynccontextmanager
async def serve_with_agents(workspace: Path, *arguments: str, **variables: str) -> AsyncIterator[Served]:
    """Start a gateway whose agents may work in the workspace, without a boundary."""
    async with served(
        workspace.parent,
        *("--allow-dir", str(workspace), "--spares", "0", "--no-agent-boundary", "--allow-tool", HARMLESS[0]),
        *arguments,
        **variables,
    ) as running:
        yield running


async def test_agents_in_every_dialect(workspace: Path) -> None:
    """Tool calls are streamed as thinking, text as text; `:agent` names are not in the list of models."""
    async with serve_with_agents(workspace) as running:
        chunks = [
            chunk.choices[0].delta
            async for chunk in await running.openai.chat.completions.create(
                model=f"{OLD}:agent", messages=user_message(READ_PROMPT), stream=True
            )
            if chunk.choices
        ]
        events = [
            event
            async for event in await running.openai.responses.create(
                model=f"{OLD}:agent", input=READ_PROMPT, reasoning={"summary": "auto"}, stream=True
            )
        ]
        async with (
            anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
            client.messages.stream(
                model=f"{OLD}:agent", max_tokens=1000, messages=[{"role": "user", "content": READ_PROMPT}]
            ) as stream,
        ):
            raw = [event async for event in stream]
            message = await stream.get_final_message()
            counted = await running.http.post("/messages/count_tokens", json={**chat_body("Hi"), **AGENT})
        listed = await running.http.get("/models")
        text = await running.http.post("/completions", json={"model": f"{OLD}:agent", "prompt": "Once"})
    reasoning_by_dialect = {
        "chat": "".join(getattr(delta, "reasoning_content", None) or "" for delta in chunks),
        "responses": "".join(e.delta for e in events if e.type == "response.reasoning_summary_text.delta"),
        "messages": "".join(e.thinking for e in raw if e.type == "thinking"),
    }
    text_by_dialect = {
        "chat": "".join(delta.content or "" for delta in chunks),
        "responses": "".join(e.delta for e in events if e.type == "response.output_text.delta"),
        "messages": "".join(block.text for block in message.content if block.type == "text"),
    }
    for dialect, reasoning in reasoning_by_dialect.items():
        assert TOOL_CALL in reasoning, dialect
        assert "→ TEXT OF THE FILE" in reasoning, dialect
        assert text_by_dialect[dialect] == "The tool said: TEXT OF THE FILE", dialect
    assert message.stop_reason == "end_turn"
    assert listed.json()["data"]
    assert ":agent" not in listed.text
    assert (counted.status_code, counted.json()["error"]["details"]["param"]) == (400, "claude")
    assert (text.status_code, text.json()["error"]["param"]) == (400, "model")


async def test_messages_of_an_agent_can_be_continued(workspace: Path) -> None:
    """Sent back, they are not rejected as forged thinking, with an agent or without."""
    ask: MessageParam = {"role": "user", "content": READ_PROMPT}
    async with (
        serve_with_agents(workspace) as running,
        anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
    ):
        request: Any = {"model": "claude-opus-5", "max_tokens": 1000}
        first = await client.messages.create(**request, messages=[ask], extra_body=AGENT)
        more: list[MessageParam] = [
            ask,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": "And now?"},
        ]
        for fields in (AGENT, {}):
            raw = await client.messages.with_raw_response.create(**request, messages=more, extra_body=fields)
            answer = await raw.parse()
            assert [block.text for block in answer.content if block.type == "text"] == ["You said: And now?"]
            assert "messages[1].content" in raw.headers["x-dragoman-warnings"]


@pytest.mark.parametrize("spelling", ["snake", "camel"])
async def test_every_agent_field_has_an_effect(workspace: Path, spelling: str) -> None:
    """A path with a link and `..` is allowed if it ends inside the directory."""
    (workspace / "work").mkdir()
    (workspace / "further").mkdir()
    (workspace / "link").symlink_to("work")
    server = workspace.parent / "server.py"
    server.write_text(PROGRAM)
    new = workspace / "further" / "new.txt"
    fields = {
        "mode": "agent",
        "working_directory": f"{workspace}/work/../link",
        "permission_mode": "acceptEdits",
        "tools": ["Write"],
        "add_dirs": [str(workspace / "further")],
        "mcp_servers": {"keys": {"command": sys.executable, "args": ["-I", str(server)]}},
        "max_turns": 5,
        "max_budget_usd": 1.0,
    }
    if spelling == "camel":
        fields = {_camel(key): value for key, value in fields.items()}
    modes = [part for mode in ("acceptEdits", "bypassPermissions") for part in ("--allow-permission-mode", mode)]
    async with serve_with_agents(workspace, *modes, IS_SANDBOX="1") as running:
        prompt = call("Write", file_path=str(new), content="new")
        reply = await running.http.post("/chat/completions", json=chat_body(prompt, claude=fields))
        calls = running.simulator.calls
    assert reply.status_code == 200, reply.text
    assert json.loads(reply.headers["x-dragoman-warnings"]) == []
    assert reply.json()["choices"][0]["finish_reason"] == "stop"
    assert new.read_text() == "new"
    tools: Any = calls[0].body["tools"]
    assert {tool["name"] for tool in tools} == {"Write", "mcp__keys__show"}
    assert str(workspace / "work") in json.dumps(calls[0].body)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@pytest.mark.parametrize(("limit", "value"), [("max_turns", 1), ("max_budget_usd", 1e-9)])
async def test_agent_limit_ends_the_response(workspace: Path, limit: str, value: float) -> None:
    """The finish reason is `length`; the last line of the reasoning names the limit."""
    async with serve_with_agents(workspace) as running:
        response = await running.openai.chat.completions.create(
            model=OLD, messages=user_message(READ_PROMPT), extra_body={"claude": {limit: value}}
        )
    [choice] = response.choices
    assert choice.finish_reason == "length"
    assert f"`{limit}`" in str(choice.message.reasoning_content).splitlines()[-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("arguments", [(), ("--backend", "api"), ("--backend", "cli")], ids=" ".join)
async def test_agents_are_off_without_a_directory(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Also on other backends; the error names the setting."""
    async with served(tmp_path, *arguments) as running:
        replies = [
            await running.http.post("/chat/completions", json=chat_body("Hi", **AGENT)),
            await running.http.post("/chat/completions", json={**chat_body("Hi"), "model": "sonnet:agent"}),
            await running.http.post("/messages", json={**chat_body("Hi"), "max_tokens": 9, **AGENT}),
        ]
        assert running.simulator.calls == []
    for reply in replies:
        error = reply.json()["error"]
        assert (reply.status_code, error.get("code") or error["details"]["code"]) == (403, "agents_off")
        assert "--allow-dir DIR" in error["message"]


async def test_allowed_directory_needs_the_runtime_backend(workspace: Path) -> None:
    """The gateway does not start."""
    for backend in ("api", "cli"):
        ended = await run(workspace.parent, "serve", "--backend", backend, "--allow-dir", str(workspace), "-p", "0")
        assert ended.code != 0
        assert "--backend runtime" in ended.err


async def test_agents_are_forbidden_per_key(workspace: Path) -> None:
    """Another key may start agents."""
    keys = "[keys.ann]\napi_key = 'key-of-ann'\n[keys.bob]\napi_key = 'key-of-bob'\nagents = false\n"
    (workspace.parent / "dragoman.toml").write_text(keys)
    async with serve_with_agents(workspace, "--config", "dragoman.toml") as running:
        codes = {}
        for name in ("ann", "bob"):
            running.http.headers["authorization"] = f"Bearer key-of-{name}"
            for kind, fields in (("agent", AGENT), ("plain", {})):
                reply = await running.http.post("/chat/completions", json=chat_body("Hi", **fields))
                codes[name, kind] = reply.json().get("error", {}).get("code")
    assert codes == {
        ("ann", "agent"): None,
        ("ann", "plain"): None,
        ("bob", "agent"): "agents_not_allowed",
        ("bob", "plain"): None,
    }


@pytest.mark.parametrize("cause", ["cancel", "leave", "kill"])
async def test_end_of_an_agent_ends_its_commands(workspace: Path, cause: str) -> None:
    """By `dragoman cancel`, a disconnect, or SIGKILL for the gateway, also for a command in its own session."""
    home, fifo = workspace.parent, workspace.parent / "fifo"
    os.mkfifo(fifo)
    command = f"setsid sh -c 'echo $$ > {fifo}; exec perl -e \"sleep 3600\"' & perl -e 'sleep 3600'"
    async with serve_with_agents(workspace, "--allow-tool", "Bash") as running:
        stream = await running.openai.chat.completions.create(
            model=OLD, messages=user_message(bash(command)), stream=True, extra_body=AGENT
        )
        watched = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        if cause == "cancel":
            assert (await run(home, "cancel", "last")).code == 0
            with pytest.raises(openai.APIError, match="cancel"):
                [_ async for _ in stream]
            [record] = json.loads((await run(home, "runs", "--json")).out)["runs"]
            assert (record["status"], record["path"]) == ("cancelled", "agent")
        elif cause == "leave":
            await stream.close()
        else:
            running.process.kill()
        await watched.exited()
        await with_timeout(asyncio.to_thread(_wait_until_none_in, workspace))


@needs_boundary
async def test_a_killed_gateway_ends_an_agent_in_its_boundary(workspace: Path) -> None:
    """Nothing of it remains. The gateway's own memory and environment are closed to other processes of its user."""
    fifo = workspace / "fifo"
    os.mkfifo(fifo)
    command = f"setsid sh -c 'echo > {fifo}; exec perl -e \"sleep 3600\"' & perl -e 'sleep 3600'"
    async with serve_with_agents(workspace, "--agent-boundary", "--allow-tool", "Bash") as running:
        await running.openai.chat.completions.create(
            model=OLD, messages=user_message(bash(command)), stream=True, extra_body=AGENT
        )
        await with_timeout(asyncio.to_thread(fifo.read_text))
        assert len(_processes_in(workspace)) >= 2
        environ = await asyncio.to_thread(os.stat, f"/proc/{running.process.pid}/environ")
        assert environ.st_uid == 0
        running.process.kill()
        await with_timeout(asyncio.to_thread(_wait_until_none_in, workspace))


def _wait_until_none_in(workspace: Path) -> None:
    while _processes_in(workspace):
        pass


def _processes_in(workspace: Path) -> list[int]:
    """Return the ids of the processes whose working directory it is."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == workspace:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


async def test_run_timeout_ends_an_agent(workspace: Path) -> None:
    """Also while a tool runs; the error is `timeout`, and no process stays."""
    async with serve_with_agents(workspace, "--allow-tool", "Bash", "--run-timeout", "3") as running:
        reply = await running.http.post("/chat/completions", json=chat_body(bash("perl -e 'sleep 3600'"), **AGENT))
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
        assert not _processes_in(workspace)


async def test_agents_take_slots(workspace: Path) -> None:
    """If all are taken, the next request is refused; the slot is free again afterwards."""
    fifo = workspace.parent / "fifo"
    os.mkfifo(fifo)
    async with serve_with_agents(
        workspace, "--allow-tool", "Bash", "--max-concurrency", "1", "--max-queue-size", "0"
    ) as running:
        stream = await running.openai.chat.completions.create(
            model=OLD,
            messages=user_message(bash(f"echo $$ > {fifo}; exec perl -e 'sleep 3600'")),
            stream=True,
            extra_body=AGENT,
        )
        watched = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        full = await running.http.post("/chat/completions", json=chat_body(READ_PROMPT, **AGENT))
        assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
        status = json.loads((await run(workspace.parent, "status", "--json")).out)
        assert '"agents": 1' in json.dumps(status)
        await stream.close()
        await watched.exited()
        while (
            reply := await running.http.post("/chat/completions", json=chat_body(READ_PROMPT, **AGENT))
        ).status_code == 429:
            pass
        assert reply.json()["choices"][0]["message"]["content"] == "The tool said: TEXT OF THE FILE"
