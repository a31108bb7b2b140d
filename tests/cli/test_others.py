"""`simulate`, `login` and `logout`."""

import asyncio
import os
import re
import signal
import socket
from pathlib import Path

import httpx
import pytest
from commands import TIMEOUT, line, run, started


@pytest.mark.parametrize("action", ["login", "logout"])
async def test_sign_in_commands(tmp_path: Path, action: str) -> None:
    """The commands run the official command and return its exit code."""
    claude = tmp_path / "claude"
    claude.write_text('#!/bin/sh\necho "$@ in $CLAUDE_CONFIG_DIR"\nexit 3\n')
    claude.chmod(0o755)
    (tmp_path / ".env").write_text("CLAUDE_CONFIG_DIR=/opt/config\n")
    ended = await run(tmp_path, action, "--claude-command", str(claude))
    assert (ended.code, ended.out) == (3, f"auth {action} in /opt/config\n")


async def test_sign_in_without_claude_code(tmp_path: Path) -> None:
    """The error names the missing command."""
    ended = await run(tmp_path, "login", "--claude-command", "/nowhere/claude")
    assert ended.code == 1
    assert "/nowhere/claude" in ended.err
    assert "Traceback" not in ended.err


async def test_simulate(tmp_path: Path) -> None:
    """The command prints its address and an example, and ends on Ctrl-C."""
    async with started(tmp_path, "simulate", "--port", "0") as process:
        output = await line(process, "listens on")
        url = re.findall("http://[^ ]+", output)[0]
        async with httpx.AsyncClient(base_url=url, headers={"x-api-key": "any"}, timeout=TIMEOUT) as http:
            models = await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert models.status_code == 200
    assert f"curl -s {url}/v1/messages".encode() in out
    assert (process.returncode, err) == (0, b"")


async def test_simulate_on_a_taken_port(tmp_path: Path) -> None:
    """A port in use is an error message, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = await run(tmp_path, "simulate", "--port", str(taken.getsockname()[1]))
    assert ended.code == 1
    assert "Traceback" not in ended.err


async def test_progress(tmp_path: Path) -> None:
    """A check that takes more than a second shows progress: here a runtime that never prints its version."""
    claude = tmp_path / "claude"
    claude.write_text("#!/bin/sh\nexec sleep 600\n")
    claude.chmod(0o755)
    ours, theirs = os.openpty()
    try:
        async with started(tmp_path, "doctor", "--claude-command", str(claude), stderr=theirs) as process:
            shown = await asyncio.to_thread(_read_until, ours, b"s)")
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"Checking, 0 checks done (1 s)" in shown


def _read_until(terminal: int, words: bytes) -> bytes:
    read = b""
    while words not in read:
        read += os.read(terminal, 1000)
    return read
