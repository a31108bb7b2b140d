"""`dragoman serve`, as a process."""

import asyncio
import json
import os
import re
import signal
import socket
import stat
from pathlib import Path

import httpx
import pytest
from commands import COMMAND, TIMEOUT, line, run, started
from free_ports import free_port

QUESTION = {"messages": [{"role": "user", "content": "my private words"}]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_with_nothing_configured(tmp_path: Path, number: signal.Signals) -> None:
    """The gateway starts and explains what is missing, also to clients. It exits with code 0 on a signal."""
    async with started(tmp_path, "serve", "--port", "0", program=COMMAND) as process:
        address = (await line(process, "OpenAI base URL")).split()[-1]
        account = await line(process, "Claude ")
        advice = await line(process, "ANTHROPIC_API_KEY")
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
            answer = await http.post("/chat/completions", json=QUESTION)
            ready = await http.get(address.removesuffix("/v1") + "/health/ready")
        process.send_signal(number)
        _, log = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert "no API key and no sign-in" in account
    assert "--signed-in" in advice
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "not_signed_in"
    assert answer.json()["error"]["message"] == advice
    assert ready.status_code == 503
    assert process.returncode == 0
    assert b"Traceback" not in log


async def test_the_log(tmp_path: Path) -> None:
    """Without a terminal, the log is JSON lines. At `info` it contains no text of clients, and never a key."""
    secret = {"DRAGOMAN_API_KEY": "gateway-secret", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    async with started(tmp_path, "start", "-p", "0", "--minimal", added=secret) as process:
        address = await line(process, "http")
        async with httpx.AsyncClient(
            base_url=address, headers={"x-api-key": "gateway-secret"}, timeout=TIMEOUT
        ) as http:
            await http.post("/chat/completions", json=QUESTION)
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), TIMEOUT)
    lines = [json.loads(part) for part in log.splitlines()]
    assert [part["event"] for part in lines][-1] == "http.request"
    assert lines[-1]["status"] == 401
    assert b"private words" not in log
    assert b"gateway-secret" not in log


@pytest.mark.parametrize("option", ["--debug", "--trace", "--log-level=debug"])
async def test_payloads_at_debug(tmp_path: Path, option: str) -> None:
    """At `debug`, the log contains text of clients. The banner says so."""
    async with started(tmp_path, "serve", "-p", "0", option, "--log-file", "log") as process:
        address = (await line(process, "OpenAI base URL")).split()[-1]
        assert "contains prompts and responses" in await line(process, "  Log")
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
            await http.post("/chat/completions", json=QUESTION)
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    events = [json.loads(part) for part in (tmp_path / "log").read_text().splitlines()]
    assert events[0]["event"] == "log.payloads"
    assert "private words" in str(events)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    assert err == b""


async def test_log_in_a_terminal(tmp_path: Path) -> None:
    """In a terminal the log is coloured text, not JSON. With `--minimal` a request is one short line."""
    full = await on_a_terminal(tmp_path)
    assert "http.request" in full
    assert "server.start" in full
    assert not full.startswith("{")
    [short] = (await on_a_terminal(tmp_path, "-m")).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \x1b\[32m200\x1b\[0m GET /health \d+ ms", short)


async def on_a_terminal(home: Path, *flags: str) -> str:
    """Return the log of one request."""
    ours, theirs = os.openpty()
    try:
        async with started(home, "serve", "-p", "0", "--spares", "0", *flags, stderr=theirs) as process:
            address = (await line(process, "http")).split()[-1].removesuffix("/v1")
            async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
                await http.get("/health")
        return os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_verbosity(tmp_path: Path) -> None:
    """`--verbose` prints the effective settings without secrets. `--quiet` prints nothing."""
    secret = {"ANTHROPIC_API_KEY": "upstream-secret", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    given = ["serve", "-p", "0", "--spares", "0"]
    async with started(tmp_path, *given, "--api-key", "gateway-secret", "-V", added=secret) as verbose:
        account = await line(verbose, "Claude ")
        clients = await line(verbose, "Clients")
        shown = await line(verbose, "api_key ")
    assert "API key from ANTHROPIC_API_KEY" in account
    assert "must send the API key (--api-key or DRAGOMAN_API_KEY)" in clients
    assert shown.split() == ["api_key", "set", "flag", "--api-key"]
    port = free_port()
    async with started(tmp_path, "serve", "-p", str(port), "-q", "--spares", "0", added=secret) as quiet:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=20), timeout=TIMEOUT) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/health")).status_code == 200
        quiet.terminate()
        assert await asyncio.wait_for(quiet.communicate(), TIMEOUT) == (b"", b"")


async def test_signed_in_banner(tmp_path: Path) -> None:
    """The banner says that the operator's own sign-in is used."""
    given = ["serve", "-p", "0", "--spares", "0", "--signed-in", "--api-key-file", "key"]
    (tmp_path / "key").write_text("gateway-secret")
    async with started(tmp_path, *given, added={"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}) as process:
        assert "your own Claude Code sign-in, for you alone" in await line(process, "Claude ")
        assert "--api-key-file" in await line(process, "Clients")


async def test_port_in_use(tmp_path: Path) -> None:
    """The error suggests another port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await run(tmp_path, "serve", "--port", str(port))
    assert ended.code == 1
    assert f"127.0.0.1 port {port} is in use" in ended.err
    assert f"--port {port + 1}" in ended.err
    assert "Traceback" not in ended.err


async def test_foreign_address(tmp_path: Path) -> None:
    """An address of another machine is an error message."""
    ended = await run(tmp_path, "serve", "--host", "192.0.2.1", "--api-key", 20 * "k")
    assert ended.code == 1
    assert "Cannot listen on 192.0.2.1 port 8787" in ended.err


async def test_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A log file in a missing folder is an error message, not a traceback."""
    ended = await run(tmp_path, "serve", "--log-file", "gone/log")
    assert ended.code == 1
    assert "gone/log" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (
            ("--state-dir", "file"),
            "state_dir (--state-dir, DRAGOMAN_STATE_DIR): file cannot be used: File exists. Name",
        ),
        (("--state-dir", "file/below"), "file/below cannot be used: Not a directory. Name another."),
        (("--claude-command", "/nowhere/claude"), "/nowhere/claude is not a program that can be run. Name another, or"),
        (("--claude-command", "./file", "--backend", "cli"), "file is not a program that can be run. Name another, or"),
        (("--default-model", "gpt-4"), "default_model (--default-model, DRAGOMAN_DEFAULT_MODEL): The model `gpt-4`"),
        (("--default-model", "gpt-4"), "`dragoman models` lists the models."),
        (("--default-model", "claude-3-5-sonnet-20241022"), "Use `claude-sonnet-"),
        (("--models", "sonnet,gpt-4"), "models (--models, DRAGOMAN_MODELS): The model `gpt-4` does not exist."),
        (("--allow-dir", "nowhere"), "nowhere is not a directory. Create it, or name another"),
        (("--max-request-bytes", "lots"), "write a number of bytes, or one with its unit, such as 64MiB"),
        (("--max-queue-size", "lots"), "write a whole number"),
        (("--heartbeat", "often"), "heartbeat (--heartbeat, DRAGOMAN_HEARTBEAT): write a number"),
        (("--log-file", "file/log"), "file/log cannot be written: Not a directory. Choose another file."),
    ],
)
async def test_invalid_settings(tmp_path: Path, given: tuple[str, ...], output: str) -> None:
    """The error names the setting and says what to do, in the foreground and in the background."""
    (tmp_path / "file").touch(mode=0o600)
    for more in ((), ("--background",)):
        ended = await run(tmp_path, "serve", "-p", "0", *given, *more)
        assert ended.code == 1
        assert output in ended.err
        assert "Traceback" not in ended.out + ended.err


async def test_claude_command_by_name(tmp_path: Path) -> None:
    """Claude Code can be given by its name on PATH. A file with that name in the working directory comes first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for path, code in ((folder / "my-claude", 3), (tmp_path / "other-claude", 4)):
        path.write_text(f"#!/bin/sh\nexit {code}\n")
        path.chmod(0o755)
    added = {"PATH": f"{folder}:{os.environ['PATH']}"}
    assert (await run(tmp_path, "login", "--claude-command", "my-claude", added=added)).code == 3
    assert (await run(tmp_path, "login", "--claude-command", "./other-claude", added=added)).code == 4
    shown = await run(tmp_path, "service", "show", "--claude-command", "my-claude", added=added)
    assert " --claude-command=my-claude\n" in shown.out
    own = await run(tmp_path, "service", "show", "--claude-command", "./other-claude", added=added)
    assert f" --claude-command={tmp_path}/other-claude\n" in own.out


async def test_a_newer_model_by_default(tmp_path: Path) -> None:
    """The gateway starts with a newer model that it does not know yet."""
    async with started(tmp_path, "serve", "-p", "0", "-m", "--default-model", "claude-opus-99") as process:
        assert (await line(process, "http")).startswith("http://127.0.0.1:")


async def test_reload(tmp_path: Path) -> None:
    """With `--reload`, a changed setting restarts the gateway."""
    env = tmp_path / ".env"
    env.write_text("")
    async with started(tmp_path, "serve", "-p", "0", "-m", "--reload") as process:
        assert "Watching" in await line(process, "Watching")
        await line(process, "http")
        changed = asyncio.create_task(line(process, "Changed: .env"))
        while not changed.done():  # the watcher may not be up yet at the first change
            env.write_text(f"DRAGOMAN_SPARES=0\n{env.read_text()}")
            await asyncio.wait([changed], timeout=0.2)
        assert (await line(process, "http")).startswith("http://127.0.0.1:")
