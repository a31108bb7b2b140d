"""No secret is ever written: the tests put secrets everywhere, and search all output and files for them."""

import asyncio
import json
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from commands import TIMEOUT, environment, line, started

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.simulator.server import Simulator

MARK = "Pl4nted"
"""A part of every secret, so that a fragment is found, too."""
GATEWAY_KEY, UPSTREAM_KEY = f"gate-{MARK}0-way", f"sk-ant-api03-{MARK}1-0123456789"
TOKEN, WRONG_KEY, COMPLAINT = f"{MARK}2-bearer-token", f"{MARK}3-wrong", f"sk-ant-api03-{MARK}4-of-stderr"
WORDS = f"""My key is sk-ant-api03-{MARK}5-in-words and the password: {MARK}6-of-words
Authorization: Bearer {MARK}7-in-a-header-of-words
https://me:{MARK}8-of-a-url@example.com/ and AKIA{MARK.upper()}9ABCDEF00 and
eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI{MARK}MTIzNDU2Nzg5MCJ9.{MARK}-signature"""
LEAKY_WRAPPER = """#!/bin/sh
echo "the key is {complaint}, api_key={complaint}" >&2
exec {claude} "$@"
"""
API = ("--backend", "api")
"""No runtime is started: the level and the destination of the log are the same for every backend."""
LOOKUP = {
    "type": "function",
    "function": {"name": "lookup", "parameters": {"type": "object", "properties": {"api_key": {"type": "string"}}}},
}


@pytest.fixture
def claude(tmp_path: Path) -> Path:
    """Return a runtime that prints a secret on its stderr."""
    wrapper = tmp_path / "claude"
    wrapper.write_text(LEAKY_WRAPPER.format(complaint=COMPLAINT, claude=locate(ClaudeCodeOptions(state_dir=tmp_path))))
    wrapper.chmod(0o755)
    return wrapper


def question(words: str, **more: object) -> dict[str, object]:
    """A chat request."""
    return {"model": "sonnet", "messages": [{"role": "user", "content": words}], **more}


async def do_everything(http: httpx.AsyncClient, work: Path, *, agents: bool) -> None:
    """Use each part of the gateway, with secrets in everything that a client can send."""
    assert (await http.post("/v1/chat/completions", json=question(WORDS))).status_code == 200
    streamed = await http.post("/v1/chat/completions", json=question(WORDS, stream=True))
    assert MARK in streamed.text
    called = await http.post(
        "/v1/chat/completions",
        json=question(f'Use lookup {{"api_key": "{MARK}-argument", "page": 1}}', tools=[LOOKUP]),
    )
    assert f"{MARK}-argument" in called.text
    kept = await http.post("/v1/responses", json={"model": "sonnet", "input": WORDS, "store": True})
    assert kept.status_code == 200, kept.text
    await http.post("/v1/completions", json={"model": "sonnet", "prompt": WORDS})
    await http.post("/v1/messages", json={**question(WORDS), "max_tokens": 50})
    await http.post("/v1/embeddings", json={"input": WORDS, "model": f"sk-{MARK}-model-of-vectors"})
    agent = {"mode": "agent", "working_directory": str(work), "permission_mode": "plan"}
    request = await http.post("/v1/chat/completions", json=question(WORDS, claude=agent))
    assert request.status_code == (200 if agents else 403), request.text
    await http.get("/admin/runs")
    # Error messages quote the request.
    quoted = f"Simulate: status 400 invalid_request_error: the key {UPSTREAM_KEY} and api_key={MARK}-quoted are bad"
    assert (await http.post("/v1/chat/completions", json=question(quoted))).status_code == 400
    await http.post("/v1/chat/completions", content=f'{{"password": "{MARK}-cut')
    await http.post("/v1/chat/completions", json={**question("Hello"), "model": f"sk-ant-{MARK}-as-a-model"})
    await http.post("/v1/chat/completions", json={**question("Hello"), f"sk-ant-{MARK}-as-a-field": 1})
    await http.get(f"/v1/models/sk-ant-{MARK}-in-a-path", headers={"x-request-id": f"sk-ant-{MARK}-as-an-id"})
    await http.get(f"/nowhere?api_key={MARK}-in-a-query", headers={"cookie": f"session={MARK}-cookie"})
    await http.get("/v1/models", headers={"x-api-key": WRONG_KEY, "authorization": f"Bearer {WRONG_KEY}"})
    await http.get("/health", headers={"host": "foreign.example"})


async def crash_the_runtime(gateway: int, http: httpx.AsyncClient) -> None:
    """Kill the runtime's processes, one of them during a response."""
    body = question("Simulate: hold after 1\nCount to 9", stream=True)
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        for child in psutil.Process(gateway).children(recursive=True):
            if "stream-json" in child.cmdline():
                child.send_signal(signal.SIGKILL)
        await answer.aread()


@asynccontextmanager
async def gateway(home: Path, simulator: Simulator, *flags: str) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """Run the installed command with secrets in flags and variables. Record its output in files."""
    (home / "work").mkdir()
    secrets = {"ANTHROPIC_API_KEY": UPSTREAM_KEY, "ANTHROPIC_BASE_URL": simulator.url, "MY_PASSWORD": f"{MARK}-env"}
    (home / ".env").write_text(f"ANTHROPIC_AUTH_TOKEN={TOKEN}\nDRAGOMAN_EMBEDDINGS_API_KEY={TOKEN}\n")
    given = (
        "serve",
        "-p",
        "0",
        "-V",
        "--spares",
        "0",
        "--api-key",
        GATEWAY_KEY,
        "--requests-per-minute",
        "500",
        *flags,
    )
    with (home / "stderr").open("wb") as stderr:
        async with started(home, *given, stderr=stderr.fileno(), added=secrets) as process:
            printed = await line(process, "OpenAI base URL")
            address = printed.split()[-1].removesuffix("/v1")
            headers = {"authorization": f"Bearer {GATEWAY_KEY}"}
            async with httpx.AsyncClient(base_url=address, headers=headers, timeout=TIMEOUT) as http:
                yield process.pid, http
            process.terminate()
            out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    (home / "stdout").write_bytes(printed.encode() + out)


def leaks(home: Path) -> list[str]:
    """Return every file that contains a part of a secret, with its context.

    The files that define the secrets are left out. A stored response must be returned unchanged, so it may contain
    secrets of the client, but not of the gateway. Its file is readable by its owner only.
    """
    ours = {home / ".env", home / "claude"}
    written = {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and path not in ours}
    found = []
    for path, text in written.items():
        kept = path.name.startswith("answers.db")
        assert not kept or stat.S_IMODE(path.stat().st_mode) == 0o600
        sought = "|".join((GATEWAY_KEY, UPSTREAM_KEY, TOKEN, COMPLAINT, f"{MARK}-env")) if kept else MARK
        places = re.finditer(sought.encode(), text, re.IGNORECASE)
        found += [f"{path.relative_to(home)}: {text[max(0, at.start() - 80) : at.end() + 30]!r}" for at in places]
    return found


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--trace", "--log-file", "log", "--allow-dir", "work", "--no-agent-boundary"),
        (*API, "--debug", "--log-file", "log"),
        (*API, "--trace", "--log-file", "log", "--log-max-bytes", "4KiB", "--log-keep", "99", "--runs-content"),
        (*API, "--trace-file", "trace"),
        (*API, "--trace"),
    ],
    ids=" ".join,
)
async def test_nothing_leaks(tmp_path: Path, simulator: Simulator, claude: Path, flags: tuple[str, ...]) -> None:
    """Log, terminal and state directory contain no secret, at any log level and after any error."""
    async with gateway(tmp_path, simulator, "--claude-command", str(claude), *flags) as (pid, http):
        await do_everything(http, tmp_path / "work", agents="--allow-dir" in flags)
        if "api" not in flags:
            await crash_the_runtime(pid, http)
    assert leaks(tmp_path) == []
    events = {event["event"] for event in logged(tmp_path)}
    assert {"server.start", "http.request", "run.end", "server.stop"} <= events
    if flags:
        assert {"request.body", "request.understood", "answer.message", "answer.tool_calls", "http.error"} <= events
    if "api" not in flags:
        assert "runtime.ended" in events
    if set(flags) & {"--trace", "--trace-file"}:
        assert {"run.event"} <= events


def logged(home: Path) -> list[dict[str, object]]:
    """Return all log events, from stderr and from all files."""
    paths = [home / "stderr", *home.glob("log*"), *home.glob("trace*")]
    lines = [line for path in paths for line in path.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


PROGRAM = f"""
import threading
from dragoman.cli.log_output.setup import configure
from dragoman.config.loading import load

class Broken:
    def __del__(self):
        raise ValueError("ignored: {UPSTREAM_KEY}")

def fail():
    raise ValueError("in a thread: password={MARK}")

configure(load({{"api_key": "{GATEWAY_KEY}"}}))
thread = threading.Thread(target=fail)
thread.start()
thread.join()
broken = Broken()
del broken
raise ValueError("at the end: {GATEWAY_KEY}")
"""


def test_tracebacks(tmp_path: Path) -> None:
    """Secrets are removed from the tracebacks that Python itself writes: at exit, in a thread, in a destructor."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert all(words in done.stderr for words in ("in a thread: ", "ignored: ", "at the end: [redacted]"))
    assert "Traceback" in done.stderr
    assert MARK not in done.stderr
