"""The backend `cli` through the installed command: the real `claude -p`, and stand-ins for older installations."""

import asyncio
import json
import os
import shlex
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from backend_harness import children_of, stand_in
from commands import run
from gateways import OLD, Watched, body, question, soon, text_in
from scripted import clean
from served import Served, served

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

CLI = ("--backend", "cli")
HELD = "Count to 9\nSimulate: hold after 2"
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "PONG", "usage": {}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": CLOSED}}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def test_in_every_dialect(tmp_path: Path) -> None:
    """One call each, with the API's own figures, and no file is left."""
    async with served(tmp_path, *CLI) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=OLD,
            messages=[{"role": "system", "content": "Be brief."}, *question("Reply with exactly: PÖNG")],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in raw.parse()]
        made = await running.openai.responses.create(model=OLD, input="Reply with exactly: PONG")
        told = await running.http.post("/messages", json={**body("Reply with exactly: PONG"), "max_tokens": 1000})
        calls = running.simulator.calls
        status = json.loads((await run(tmp_path, "status", "--json")).out)
    assert text_in(chunks) == "PÖNG"
    assert raw.headers["x-dragoman-path"] == "cli"
    usage = chunks[-1].usage
    assert usage
    assert usage.completion_tokens == calls[0].usage["output_tokens"]
    assert made.output_text == "PONG"
    assert told.json()["content"][-1]["text"] == "PONG"
    assert len(calls) == 3
    assert status["backend"]["name"] == "cli"
    assert kept(tmp_path) == []
    assert list((state(tmp_path) / "prompts").iterdir()) == []


def state(home: Path) -> Path:
    """The gateway's directory."""
    return home / "state" / "dragoman"


def kept(home: Path) -> list[Path]:
    """What commands printed."""
    return sorted((state(home) / "output").iterdir())


async def test_what_people_write_is_on_no_command_line(tmp_path: Path) -> None:
    """Nor in an environment, where others of this machine could read it: it goes by stdin, and by a file of ours."""
    async with served(tmp_path, *CLI) as running:
        messages: Any = [{"role": "system", "content": "Whisper this."}, *question(HELD)]
        stream = await running.openai.chat.completions.create(model=OLD, messages=messages, stream=True)
        await anext(aiter(stream))
        seen = [
            [*process.cmdline(), *process.environ().values()]
            for process in map(psutil.Process, children_of(running.process.pid))
        ]
        [prompt] = (state(tmp_path) / "prompts").iterdir()
        assert (prompt.read_text(), prompt.stat().st_mode & 0o777) == ("Whisper this.", 0o600)
        running.simulator.release()
        _ = [chunk async for chunk in stream]
    assert any("--print" in words for words in seen)
    assert "Count to 9" not in str(seen)
    assert "Whisper" not in str(seen)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [*question("One"), {"role": "assistant", "content": "Two"}, *question("Three")]}, "messages"),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "messages[0].content[0]"),
        ({"messages": question("/clear")}, "messages[0].content"),
        ({"messages": question("What is in @~/notes?")}, "messages[0].content"),
        ({"tools": [FUNCTION]}, "tools"),
        ({"temperature": 0.5}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"stop": ["END"]}, "stop_sequences"),
        ({"response_format": SCHEMA}, "output_config.format"),
        ({"web_search_options": {}}, "tools"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_what_it_cannot_do_is_refused_by_name(tmp_path: Path, fields: dict[str, Any], param: str) -> None:
    """With the backends that can."""
    async with served(tmp_path, *CLI) as running:
        reply = await running.http.post("/chat/completions", json={**body("Hi"), **fields})
        assert running.simulator.calls == []
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "unsupported_parameter"), reply.text
    assert error["param"] == param
    assert "`--backend runtime`" in error["message"]


async def test_an_older_installation(tmp_path: Path) -> None:
    """Named by `--claude-command`; what it cannot do at all is a warning."""
    command = stand_in(tmp_path, f"cat > /dev/null; echo {shlex.quote(json.dumps(RESULT))}")
    async with served(tmp_path, *CLI, "--claude-command", str(command)) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=OLD, messages=question("Hi"), max_tokens=5
        )
        assert raw.parse().choices[0].message.content == "PONG"
        assert json.loads(raw.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "max_tokens"}]


@pytest.mark.parametrize("program", ["exit 1", "echo some other program"])
async def test_a_command_that_is_no_claude(tmp_path: Path, program: str) -> None:
    """Is an error that says what to set."""
    command = tmp_path / "claude"
    command.write_text(f"#!/bin/sh\n{program}\n")
    command.chmod(0o700)
    async with served(tmp_path, *CLI, "--claude-command", str(command)) as running:
        reply = await running.http.post("/chat/completions", json=body("Hi"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "runtime_missing")
    assert "--claude-command" in reply.json()["error"]["message"]


async def begun(running: Served, fifo: Path) -> tuple[Any, Watched]:
    """A stream whose command has started another."""
    asking = asyncio.create_task(
        running.openai.chat.completions.create(model=OLD, messages=question("Hi"), stream=True)
    )
    child = Watched(int(await soon(asyncio.to_thread(fifo.read_text))))
    return asking, child


@pytest.mark.parametrize("way", ["cancel", "leave", "kill", "time"])
async def test_an_end_takes_the_whole_group_along(tmp_path: Path, way: str) -> None:
    """By `dragoman cancel`, a client that leaves, SIGKILL for the gateway, or the time that a run has."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = stand_in(tmp_path, f"cat > /dev/null; sh -c 'echo $$ > {fifo}; exec sleep 3600' & wait")
    limit = ("--run-timeout", "5") if way == "time" else ()
    async with served(tmp_path, *CLI, "--claude-command", str(command), *limit) as running:
        asking, child = await begun(running, fifo)
        if way == "cancel":
            assert (await run(tmp_path, "cancel", "last")).code == 0
            with pytest.raises(openai.APIError, match="cancel"):
                _ = [chunk async for chunk in await asking]
        elif way == "leave":
            asking.cancel()
        elif way == "time":
            with pytest.raises(openai.APIError, match="5 seconds"):
                _ = [chunk async for chunk in await asking]
        else:
            running.process.kill()
        await child.gone()
        asking.cancel()
        await asyncio.wait([asking])


async def test_what_a_failed_command_printed_is_kept_without_secrets_and_for_its_time(tmp_path: Path) -> None:
    """In the state directory and, what it complained of, in the log; the next start takes away what is too old."""
    program = 'cat > /dev/null; echo "why: $ANTHROPIC_API_KEY api_key=Pl4nted sk-ant-api03-Pl4nted0123" >&2; exit 3'
    arguments = (*CLI, "--claude-command", str(stand_in(tmp_path, program)))
    async with served(tmp_path, *arguments) as running:
        reply = await running.http.post("/chat/completions", json=body("Hi"))
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "runtime_failed")
    err, out = kept(tmp_path)
    assert (err.suffix, out.suffix, out.stat().st_mode & 0o777) == (".stderr", ".stdout", 0o600)
    assert err.name.startswith(reply.headers["x-dragoman-run-id"])
    assert err.read_text() == "why: [redacted] api_key=[redacted] [redacted]\n"
    logged = (tmp_path / "log").read_text()
    assert "cli.ended" in logged
    assert "why: " in logged
    for secret in ("Pl4nted", "sk-ant-dummy"):
        assert secret not in logged
        assert secret not in reply.text
    async with served(tmp_path, *arguments, "--output-ttl", "0") as running:
        await running.http.get("/models")
    assert kept(tmp_path) == []
