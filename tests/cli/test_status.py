"""`dragoman status`."""

import asyncio
import json
import re
from pathlib import Path

import click
import httpx
from api_harness import raw_server
from background_gateway import background_gateway, registry
from commands import run
from scripted import MESSAGES
from terminals import in_terminal

from dragoman.cli.instances import InstanceRecord
from dragoman.cli.status_report import format_status
from dragoman.simulator.server import Simulator

REPLY = (
    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
)


async def ask_status(tmp_path: Path, status: int, body: str, *arguments: str) -> tuple[int, str, str]:
    """Run `status` against a server with this response. Return the exit code, the output, and the request."""
    request = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal request
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(REPLY.format(status=status, size=len(body), body=body).encode())
        await writer.drain()

    async with raw_server(answer) as url:
        ended = await run(tmp_path, "status", "--port", url.rpartition(":")[2], *arguments)
    return ended.code, ended.out + ended.err, request


async def test_gateway_in_the_background(tmp_path: Path) -> None:
    """`status` shows process, account, runs, responses and versions, as text and as JSON."""
    async with background_gateway(tmp_path, "--simulate") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
            answer = await http.post("/v1/chat/completions", json={"model": "haiku", "messages": MESSAGES})
            failed = await http.post(
                "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Simulate: status 400"}]}
            )
        shown = await run(tmp_path, "status")
        result = json.loads((await run(tmp_path, "status", "--json")).out)
    assert (answer.status_code, failed.status_code) == (200, 400)
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert lines[0] == f"Dragoman 0.1.0 at {gateway.url}: ready"
    assert f"Process     pid {gateway.pid}, up " in lines[1]
    assert "in the background, log " in lines[1]
    assert lines[2] == f"  Dashboard   {gateway.url}/dashboard"
    assert lines[3].startswith("  Claude      simulated at http://127.0.0.1:")
    assert lines[3].endswith(": no account, no network")
    assert lines[4] == "  Backend     runtime"
    assert "Processes   0 warm, 1 live" in lines[5]
    assert lines[6] == "  Runs        0 of 8 running, 0 of 100 queued"
    assert f"ago: invalid_value ({failed.headers['x-dragoman-run-id']})" in lines[7]
    assert "Claude Code 2." in lines[8]
    assert result["pid"] == gateway.pid
    assert result["last"]["failed"]["run"] == failed.headers["x-dragoman-run-id"]
    assert result["backend"]["more"]["claude_code"]


async def test_gateway_with_a_key(tmp_path: Path) -> None:
    """Without the key, `status` shows whether the gateway is ready, and how to see more."""
    async with background_gateway(tmp_path, "--simulate", "--api-key", "gateway-secret") as gateway:
        stranger = await run(tmp_path, "status")
        friend = await run(tmp_path, "status", "--api-key", "gateway-secret")
    assert stranger.code == 0
    assert stranger.out.startswith(f"Dragoman at {gateway.url}: ready\n")
    assert "--admin-key-file or --api-key-file" in stranger.out
    assert f"pid {gateway.pid}" in friend.out


async def test_refused_sign_in(tmp_path: Path) -> None:
    """`status` shows the sign-in of the official command, and that Claude refused it."""
    async with Simulator() as simulator:
        account = {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token", "ANTHROPIC_BASE_URL": simulator.url}
        account["CLAUDE_CONFIG_DIR"] = str(tmp_path / "claude")
        async with background_gateway(tmp_path, "--signed-in", added=account) as gateway:
            before = await run(tmp_path, "status")
            async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
                request = {"messages": [{"role": "user", "content": "Simulate: status 401"}]}
                answer = await http.post("/v1/chat/completions", json=request)
            after = await run(tmp_path, "status")
    assert before.code == 0
    assert "  Claude      your own Claude Code sign-in (oauth_token)\n" in before.out
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
    assert after.code == 1
    assert "not ready\n  Claude refuses the token in CLAUDE_CODE_OAUTH_TOKEN." in after.out
    assert "your own Claude Code sign-in (oauth_token), refused by Claude for " in after.out


async def test_another_program(tmp_path: Path) -> None:
    """Another program on the port is not mistaken for a gateway. The key is sent."""
    code, output, request = await ask_status(tmp_path, 200, "<html>", "--api-key", "k", "--host", "127.0.0.1")
    assert code == 1
    assert "another program listens there" in output
    assert request.startswith("GET /admin/status ")
    assert "x-api-key: k" in request


async def test_error_message(tmp_path: Path) -> None:
    """The gateway's error message is printed."""
    code, output, _ = await ask_status(tmp_path, 403, json.dumps({"error": {"code": "x", "message": "Not from here."}}))
    assert (code, output) == (1, "Error: Not from here.\n")


async def test_without_a_gateway(tmp_path: Path) -> None:
    """The error says how to start a gateway."""
    ended = await run(tmp_path, "status", "--port", "1")
    assert ended.code == 1
    assert "Start one with `dragoman serve`" in ended.err


def report(backend: dict[str, object], failures: dict[str, str] | None = None, **more: object) -> str:
    """Return the report on a backend."""
    result: dict[str, object] = {
        "status": "ready",
        "version": "1",
        "python": "3.11",
        "pid": 1,
        "uptime": 93_784.0,
        "runs": {"running": 1, "places": 2, "queued": 3, "queue_size": 4},
        "last": {"succeeded": None, "failed": None},
        "failures": failures or {},
        "backend": {**backend, "more": more},
    }
    return click.unstyle("\n".join(format_status("http://x", result, None)))


def test_sign_ins() -> None:
    """Each state of the sign-in has its text."""
    signed_in: dict[str, object] = {"name": "runtime", "authentication": "signed_in"}
    expired = report(signed_in, sign_in={"state": "expired", "method": "claude.ai", "expires": "2026-01-01T00:00:00"})
    assert "sign-in (claude.ai), expired at 2026-01-01T00:00:00: run `dragoman login`" in expired
    valid = report(signed_in, sign_in={"state": "signed_in", "method": "claude.ai", "expires": "2099-01-01"})
    assert "sign-in (claude.ai), valid until 2099-01-01" in valid
    assert "signed out: run `dragoman login`" in report(signed_in, sign_in={"state": "signed_out", "method": "none"})
    assert "does not report it" in report(signed_in, sign_in={"state": "unknown"})
    assert "up 1 d 2 h" in valid
    assert "Responses   none yet" in valid


def test_failures() -> None:
    """What failed and recovers later is shown, also while the gateway is ready."""
    backend: dict[str, object] = {"name": "api", "authentication": "api_key"}
    assert "disk is full" not in report(backend)
    shown = report(backend, failures={"store runs.db": "OperationalError: database or disk is full"})
    assert ": ready\n  store runs.db: OperationalError: database or disk is full\n" in shown


async def test_several_gateways(tmp_path: Path) -> None:
    """Without a port, the command lists them and says how to choose one."""
    known = registry(tmp_path)
    first, second = (InstanceRecord(host="127.0.0.1", port=port, grace=1, arguments=()) for port in (1, 2))
    with known.register(first), known.register(second):
        shown = await run(tmp_path, "status")
        listed = json.loads((await run(tmp_path, "status", "--json")).out)["gateways"]
    assert shown.code == 1
    line = rf"^http://127\.0\.0\.1:1  not responding, pid {first.pid}, up \d+ s, in the foreground of /"
    assert re.search(line, shown.out, re.MULTILINE)
    assert "`dragoman status --port 1` shows more about one of them." in shown.out
    assert [one["address"] for one in listed] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]


async def test_several_upstreams(tmp_path: Path) -> None:
    """Each upstream is shown with its state and its budget, and the version of Claude Code that it runs."""
    (tmp_path / "dragoman.toml").write_text(
        '[upstreams.mine]\nbackend = "runtime"\napi_key = "sk-ant-dummy"\ndaily_budget = 1.5\n\n'
        '[upstreams.work]\nbackend = "api"\napi_key = "sk-ant-dummy"\n'
    )
    async with background_gateway(tmp_path, "--simulate", "--config", "dragoman.toml"):
        code, shown = await in_terminal(tmp_path, "status")
    assert code == 0
    assert "Claude      simulated at http://127.0.0.1:" in shown
    assert "  Upstream    mine, ready\n    Backend     runtime\n" in shown
    assert "    Budget      $0.0000 of $1.5 spent until " in shown
    assert "  Upstream    work, ready\n    Backend     api\n" in shown
    assert "claude-agent-sdk 0." in shown
    assert "Claude Code 2." in shown


def test_upstream_states() -> None:
    """Each upstream is shown with its state, its reason and its own sign-in."""
    first = {"state": "ready", "reason": None, "backend": "runtime", "authentication": "signed_in"}
    second = {"state": "resting", "reason": "overloaded", "backend": "api", "authentication": "api_key"}
    output = report(
        {"name": "router", "upstreams": {"mine": first, "work": {**second, "connections": {"busy": 1}}}},
        mine={"sign_in": {"state": "signed_out"}},
    )
    mine = "  Upstream    mine, ready\n    Backend     runtime\n    Claude      your own Claude Code sign-in, s"
    assert mine in output
    assert "  Upstream    work, resting: overloaded\n    Backend     api\n    Claude      API key\n" in output
    assert "    Connections 1 busy" in output
