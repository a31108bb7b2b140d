"""The backend `cli` through the installed command: the real `claude -p`, and fake commands."""

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
from gateways import OLD, WatchedProcess, chat_body, stream_text, user_message, with_timeout
from scripted import clean
from served import Served, served

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

CLI = ("--backend", "cli")
HELD_PROMPT = "Count to 9\nSimulate: hold after 2"
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "PONG", "usage": {}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
EMPTY_OBJECT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": EMPTY_OBJECT}}
FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


async def test_every_dialect(tmp_path: Path) -> None:
    """One call each, with the API's own usage; no file is left."""
    async with served(tmp_path, *CLI) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=OLD,
            messages=[{"role": "system", "content": "Be brief."}, *user_message("Reply with exactly: PÖNG")],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in raw.parse()]
        response = await running.openai.responses.create(model=OLD, input="Reply with exactly: PONG")
        message = await running.http.post(
            "/messages", json={**chat_body("Reply with exactly: PONG"), "max_tokens": 1000}
        )
        calls = running.simulator.calls
        status = json.loads((await run(tmp_path, "status", "--json")).out)
    assert stream_text(chunks) == "PÖNG"
    assert raw.headers["x-dragoman-path"] == "cli"
    usage = chunks[-1].usage
    assert usage
    assert usage.completion_tokens == calls[0].usage["output_tokens"]
    assert response.output_text == "PONG"
    assert message.json()["content"][-1]["text"] == "PONG"
    assert len(calls) == 3
    assert status["backend"]["name"] == "cli"
    assert output_files(tmp_path) == []
    assert list((state_dir(tmp_path) / "prompts").iterdir()) == []


def state_dir(home: Path) -> Path:
    """Return the gateway's state directory."""
    return home / "state" / "dragoman"


def output_files(home: Path) -> list[Path]:
    """Return the files with the output of commands."""
    return sorted((state_dir(home) / "output").iterdir())


async def test_prompts_are_not_on_the_command_line(tmp_path: Path) -> None:
    """Nor in the environment, where other users could read them: they go through stdin and a private file."""
    async with served(tmp_path, *CLI) as running:
        messages: Any = [{"role": "system", "content": "Whisper this."}, *user_message(HELD_PROMPT)]
        stream = await running.openai.chat.completions.create(model=OLD, messages=messages, stream=True)
        await anext(aiter(stream))
        exposed = [
            [*process.cmdline(), *process.environ().values()]
            for process in map(psutil.Process, children_of(running.process.pid))
        ]
        [prompt] = (state_dir(tmp_path) / "prompts").iterdir()
        assert (prompt.read_text(), prompt.stat().st_mode & 0o777) == ("Whisper this.", 0o600)
        running.simulator.release()
        _ = [chunk async for chunk in stream]
    assert any("--print" in words for words in exposed)
    assert "Count to 9" not in str(exposed)
    assert "Whisper" not in str(exposed)


UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    (
        {"messages": [*user_message("One"), {"role": "assistant", "content": "Two"}, *user_message("Three")]},
        "messages",
    ),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]"),
    ({"messages": user_message("/clear")}, "messages[0].content"),
    ({"messages": user_message("What is in @~/notes?")}, "messages[0].content"),
    ({"tools": [FUNCTION]}, "tools"),
    ({"temperature": 0.5}, "temperature"),
    ({"top_p": 0.5}, "top_p"),
    ({"stop": ["END"]}, "stop_sequences"),
    ({"response_format": SCHEMA}, "output_config.format"),
    ({"web_search_options": {}}, "tools"),
]


async def test_unsupported_fields_are_refused_by_name(tmp_path: Path) -> None:
    """The error names a backend that supports them."""
    async with served(tmp_path, *CLI) as running:
        for fields, param in UNSUPPORTED:
            reply = await running.http.post("/chat/completions", json={**chat_body("Hi"), **fields})
            assert running.simulator.calls == []
            error = reply.json()["error"]
            assert (reply.status_code, error["code"]) == (400, "unsupported_parameter"), reply.text
            assert error["param"] == param
            assert "`--backend runtime`" in error["message"]


async def test_older_claude_command(tmp_path: Path) -> None:
    """`--claude-command` names it; what it does not support causes a warning."""
    command = stand_in(tmp_path, f"cat > /dev/null; echo {shlex.quote(json.dumps(RESULT))}")
    async with served(tmp_path, *CLI, "--claude-command", str(command)) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=OLD, messages=user_message("Hi"), max_tokens=5
        )
        assert raw.parse().choices[0].message.content == "PONG"
        assert json.loads(raw.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "max_tokens"}]


@pytest.mark.parametrize("program", ["exit 1", "echo some other program"])
async def test_command_that_is_not_claude(tmp_path: Path, program: str) -> None:
    """The error names the setting."""
    command = tmp_path / "claude"
    command.write_text(f"#!/bin/sh\n{program}\n")
    command.chmod(0o700)
    async with served(tmp_path, *CLI, "--claude-command", str(command)) as running:
        reply = await running.http.post("/chat/completions", json=chat_body("Hi"))
    assert (reply.status_code, reply.json()["error"]["code"]) == (502, "runtime_missing")
    assert "--claude-command" in reply.json()["error"]["message"]


async def start_stream(running: Served, fifo: Path) -> tuple[Any, WatchedProcess]:
    """Start a stream whose command has started a child process."""
    asking = asyncio.create_task(
        running.openai.chat.completions.create(model=OLD, messages=user_message("Hi"), stream=True)
    )
    child = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
    return asking, child


@pytest.mark.parametrize("cause", ["cancel", "leave", "kill", "time"])
async def test_end_of_a_run_ends_the_process_group(tmp_path: Path, cause: str) -> None:
    """By `dragoman cancel`, a disconnect, SIGKILL for the gateway, or the run timeout."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = stand_in(tmp_path, f"cat > /dev/null; sh -c 'echo $$ > {fifo}; exec sleep 3600' & wait")
    limit = ("--run-timeout", "5") if cause == "time" else ()
    async with served(tmp_path, *CLI, "--claude-command", str(command), *limit) as running:
        asking, child = await start_stream(running, fifo)
        if cause == "cancel":
            assert (await run(tmp_path, "cancel", "last")).code == 0
            with pytest.raises(openai.APIError, match="cancel"):
                _ = [chunk async for chunk in await asking]
        elif cause == "leave":
            asking.cancel()
        elif cause == "time":
            with pytest.raises(openai.APIError, match="5 seconds"):
                _ = [chunk async for chunk in await asking]
        else:
            running.process.kill()
        await child.exited()
        asking.cancel()
        await asyncio.wait([asking])


async def test_output_of_a_failed_command_is_stored_without_secrets(tmp_path: Path) -> None:
    """In the state directory, and stderr in the log; the next start deletes old files."""
    program = 'cat > /dev/null; echo "why: $ANTHROPIC_API_KEY api_key=Pl4nted sk-ant-api03-Pl4nted0123" >&2; exit 3'
    arguments = (*CLI, "--claude-command", str(stand_in(tmp_path, program)))
    async with served(tmp_path, *arguments) as running:
        reply = await running.http.post("/chat/completions", json=chat_body("Hi"))
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "runtime_failed")
    err, out = output_files(tmp_path)
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
    assert output_files(tmp_path) == []
