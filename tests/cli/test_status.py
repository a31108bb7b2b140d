"""`dragoman status`."""

import asyncio
import json
from pathlib import Path

import click
import httpx
from background_gateway import background_gateway
from commands import run
from scripted import QUESTION
from terminals import in_terminal

from dragoman.cli.status_report import format_status
from dragoman.simulator.server import Simulator

REPLY = (
    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}"
)


async def ask_status(tmp_path: Path, status: int, body: str, *arguments: str) -> tuple[int, str, str]:
    """Run `status` against something that answers so; the request's text comes last."""
    asked = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.write(REPLY.format(status=status, size=len(body), body=body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        ended = await run(tmp_path, "status", "--port", str(port), *arguments)
    return ended.code, ended.out + ended.err, asked


async def test_of_a_gateway_in_the_background(tmp_path: Path) -> None:
    """Found without an address: process, account, runs, answers, versions; the same as JSON."""
    async with background_gateway(tmp_path, "--simulate") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
            answer = await http.post("/v1/chat/completions", json={"model": "haiku", "messages": QUESTION})
            failed = await http.post(
                "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Simulate: status 400"}]}
            )
        shown = await run(tmp_path, "status")
        told = json.loads((await run(tmp_path, "status", "--json")).out)
    assert (answer.status_code, failed.status_code) == (200, 400)
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert lines[0] == f"Dragoman 0.1.0 at {gateway.url}: ready"
    assert f"Process     pid {gateway.pid}, up " in lines[1]
    assert "in the background, log " in lines[1]
    assert lines[2].startswith("  Claude      simulated at http://127.0.0.1:")
    assert lines[2].endswith(": no account, no network")
    assert lines[3] == "  Backend     runtime"
    assert "Processes   0 warm, 1 live" in lines[4]
    assert lines[5] == "  Runs        0 of 8 running, 0 of 100 queued"
    assert f"ago: invalid_value ({failed.headers['x-dragoman-run-id']})" in lines[6]
    assert "Claude Code 2." in lines[7]
    assert told["pid"] == gateway.pid
    assert told["last"]["failed"]["run"] == failed.headers["x-dragoman-run-id"]
    assert told["backend"]["more"]["claude_code"]


async def test_of_one_with_a_key(tmp_path: Path) -> None:
    """Without the key it says whether it is ready, and how to see more."""
    async with background_gateway(tmp_path, "--simulate", "--api-key", "gateway-secret") as gateway:
        stranger = await run(tmp_path, "status")
        friend = await run(tmp_path, "status", "--api-key", "gateway-secret")
    assert stranger.code == 0
    assert stranger.out.startswith(f"Dragoman at {gateway.url}: ready\n")
    assert "--api-key-file, DRAGOMAN_API_KEY or --api-key" in stranger.out
    assert f"pid {gateway.pid}" in friend.out


async def test_of_a_sign_in_that_is_refused(tmp_path: Path) -> None:
    """It says so, as the official command and Claude's last answer tell it, and what to do."""
    async with Simulator() as simulator:
        account = {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token", "ANTHROPIC_BASE_URL": simulator.url}
        account["CLAUDE_CONFIG_DIR"] = str(tmp_path / "claude")
        async with background_gateway(tmp_path, "--signed-in", added=account) as gateway:
            before = await run(tmp_path, "status")
            async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
                asked = {"messages": [{"role": "user", "content": "Simulate: status 401"}]}
                answer = await http.post("/v1/chat/completions", json=asked)
            after = await run(tmp_path, "status")
    assert before.code == 0
    assert "  Claude      your own Claude Code sign-in (oauth_token)\n" in before.out
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
    assert after.code == 1
    assert "not ready\n  Claude refuses the token in CLAUDE_CODE_OAUTH_TOKEN." in after.out
    assert "your own Claude Code sign-in (oauth_token), refused by Claude for " in after.out


async def test_of_something_else(tmp_path: Path) -> None:
    """Another program on the port is not taken for a gateway; the key is sent."""
    code, said, asked = await ask_status(tmp_path, 200, "<html>", "--api-key", "k", "--host", "127.0.0.1")
    assert code == 1
    assert "another program listens there" in said
    assert asked.startswith("GET /admin/status ")
    assert "x-api-key: k" in asked


async def test_of_one_that_refuses(tmp_path: Path) -> None:
    """Its own words are shown."""
    code, said, _ = await ask_status(tmp_path, 403, json.dumps({"error": {"code": "x", "message": "Not from here."}}))
    assert (code, said) == (1, "Error: Not from here.\n")


async def test_of_nothing(tmp_path: Path) -> None:
    """It says how to start one."""
    ended = await run(tmp_path, "status", "--port", "1")
    assert ended.code == 1
    assert "Start one with `dragoman serve`" in ended.err


def words(backend: dict[str, object], **more: object) -> str:
    """What is said of a backend."""
    told: dict[str, object] = {
        "status": "ready",
        "version": "1",
        "python": "3.11",
        "pid": 1,
        "uptime": 93_784.0,
        "runs": {"running": 1, "places": 2, "queued": 3, "queue_size": 4},
        "last": {"succeeded": None, "failed": None},
        "backend": {**backend, "more": more},
    }
    return click.unstyle("\n".join(format_status("http://x", told, None)))


def test_sign_ins() -> None:
    """In every state that the official command knows."""
    signed_in: dict[str, object] = {"name": "runtime", "authentication": "signed_in"}
    expired = words(signed_in, sign_in={"state": "expired", "method": "claude.ai", "expires": "2026-01-01T00:00:00"})
    assert "sign-in (claude.ai), expired at 2026-01-01T00:00:00: run `dragoman login`" in expired
    valid = words(signed_in, sign_in={"state": "signed_in", "method": "claude.ai", "expires": "2099-01-01"})
    assert "sign-in (claude.ai), valid until 2099-01-01" in valid
    assert "signed out: run `dragoman login`" in words(signed_in, sign_in={"state": "signed_out", "method": "none"})
    assert "does not report it" in words(signed_in, sign_in={"state": "unknown"})
    assert "up 1 d 2 h" in valid
    assert "Responses   none yet" in valid


async def test_of_several_upstreams(tmp_path: Path) -> None:
    """Each with its state and what is left of its budget; the version of Claude Code is that which they run."""
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


def test_several_accounts() -> None:
    """Each with its state, its reason and its own sign-in."""
    first = {"state": "ready", "reason": None, "backend": "runtime", "authentication": "signed_in"}
    second = {"state": "resting", "reason": "overloaded", "backend": "api", "authentication": "api_key"}
    said = words(
        {"name": "router", "upstreams": {"mine": first, "work": {**second, "connections": {"busy": 1}}}},
        mine={"sign_in": {"state": "signed_out"}},
    )
    assert "  Upstream    mine, ready\n    Backend     runtime\n    Claude      your own Claude Code sign-in, s" in said
    assert "  Upstream    work, resting: overloaded\n    Backend     api\n    Claude      API key\n" in said
    assert "    Connections 1 busy" in said
