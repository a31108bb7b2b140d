"""Secrets of any format, from every source of settings, are removed from everything that is written."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from commands import TIMEOUT, line, started

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.simulator.server import Simulator

MARK = "Pl4nted"
"""A part of every secret, so that a fragment is found, too."""
NAMES = ("owner", "ann", "bob", "carl", "api", "token", "runtime", "aws")
SECRETS = {name: f"""of {name}: "{MARK}' \\{name} <100%> {{x}}""" for name in NAMES}
"""No provider's key has this format, so only the exact text can be recognized."""
TOML = """
fallback = true
[keys.ann]
api_key = {ann}
[keys.bob]
api_key_env = "KEY_OF_BOB"
[keys.carl]
api_key_file = "files/carl"
[upstreams.one]
api_key_env = "KEY_OF_ONE"
base_url = "{simulator}"
models = "sonnet"
[upstreams.two]
auth_token_file = "files/token"
base_url = "{simulator}"
models = "opus"
[upstreams.three]
backend = "runtime"
api_key_file = "files/runtime"
base_url = "{simulator}"
models = "haiku"
"""
LEAKY_WRAPPER = """#!/bin/sh
env >&2
exec {claude} "$@"
"""
LOOKUP = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def planted(home: Path, simulator: Simulator) -> dict[str, str]:
    """Put a secret into every place that the settings can read. Return those in environment variables."""
    (home / "files").mkdir()
    for name in ("owner", "carl", "token", "runtime"):
        (home / "files" / name).write_text(f"{SECRETS[name]}\n")
    (home / "dragoman.toml").write_text(TOML.format(ann=json.dumps(SECRETS["ann"]), simulator=simulator.url))
    (home / ".env").write_text(f"KEY_OF_BOB={json.dumps(SECRETS['bob'])}\n")
    wrapper = home / "claude"
    wrapper.write_text(LEAKY_WRAPPER.format(claude=locate(ClaudeCodeOptions(state_dir=home))))
    wrapper.chmod(0o755)
    return {"KEY_OF_ONE": SECRETS["api"], "AWS_SECRET_ACCESS_KEY": SECRETS["aws"]}


@asynccontextmanager
async def gateway(home: Path, simulator: Simulator, *flags: str) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """Run the installed command in a terminal and record its screen in a file."""
    ours, theirs = os.openpty()
    screen = asyncio.create_task(asyncio.to_thread(_read_all, ours, home / "screen"))
    given = ("serve", "-p", "0", "--spares", "0", "--config", "dragoman.toml", "--api-key-file", "files/owner")
    more = ("--claude-command", str(home / "claude"))
    try:
        async with started(home, *given, *more, *flags, stderr=theirs, added=planted(home, simulator)) as process:
            os.close(theirs)
            printed = await line(process, "http")
            async with httpx.AsyncClient(base_url=printed.split()[-1], timeout=TIMEOUT) as http:
                yield process.pid, http
            process.terminate()
            out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        await screen
        os.close(ours)
    (home / "stdout").write_bytes(printed.encode() + out)


def _read_all(terminal: int, into: Path) -> None:
    """Record the screen until the terminal is closed."""
    with into.open("wb") as file:
        try:
            while shown := os.read(terminal, 65_536):
                file.write(shown)
        except OSError:  # how Linux reports the end
            pass


async def send_everything(http: httpx.AsyncClient) -> None:
    """Send every secret as each client: in prompts, in tool arguments, and in errors of each upstream."""
    words = "\n".join(SECRETS.values())
    for who, model in (("owner", "sonnet"), ("ann", "opus"), ("bob", "haiku"), ("carl", "sonnet")):
        headers = {"x-api-key": SECRETS[who]}
        request = [
            words,
            f"Simulate: status 400 invalid_request_error: {SECRETS[who]} and {SECRETS['runtime']} are no keys",
            f"Use lookup {json.dumps({'page': SECRETS['api'], 'inside': json.dumps(SECRETS)})}",
        ]
        for output in request:
            body = {"model": model, "messages": [{"role": "user", "content": output}], "tools": [LOOKUP]}
            answer = await http.post("/chat/completions", json=body, headers=headers)
            assert answer.status_code == (400 if output.startswith("Simulate") else 200), answer.text
        assert f"/{MARK}" not in (await http.get("/models", headers=headers)).text
    wrong = await http.get("/models", headers={"x-api-key": SECRETS["owner"][:-1]})
    assert wrong.status_code == 401


def leaks(home: Path) -> list[str]:
    """Return every file that contains a part of a secret, with its context. The files that define it are left out."""
    ours = {home / ".env", home / "dragoman.toml", *(home / "files").iterdir()}
    found = []
    for path in (path for path in home.rglob("*") if path.is_file() and path not in ours):
        text = path.read_bytes()
        if (at := text.find(MARK.encode())) >= 0:
            found.append(f"{path.relative_to(home)}: {text[max(0, at - 200) : at + 50]!r}")
    return found


def logged(home: Path) -> str:
    """Return the log, from the screen and from all files."""
    return "".join(path.read_text() for path in (home / "screen", *home.glob("log*"), *home.glob("trace*")))


@pytest.mark.parametrize(
    "flags",
    [
        ("--trace",),
        ("--trace", "--log-file", "log", "--log-max-bytes", "4KiB", "--log-keep", "999", "--runs-content"),
        ("--minimal", "--trace-file", "trace"),
    ],
    ids=" ".join,
)
async def test_no_secret_of_the_settings_is_written(
    tmp_path: Path, simulator: Simulator, flags: tuple[str, ...]
) -> None:
    """Terminal, log, rotated logs and state directory contain no secret of the settings."""
    async with gateway(tmp_path, simulator, *flags) as (pid, http):
        await send_everything(http)
        for child in psutil.Process(pid).children(recursive=True):
            if "stream-json" in child.cmdline():
                child.send_signal(signal.SIGKILL)
    assert leaks(tmp_path) == []
    written = logged(tmp_path)
    assert "[redacted]" in written
    assert "ANTHROPIC_API_KEY" in written  # the runtime's stderr
    assert "request.body" in written
    assert "run.event" in written
