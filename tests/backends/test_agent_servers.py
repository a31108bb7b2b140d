"""MCP servers of agents: which definitions are valid, how they start, and the error for one that does not start."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from agent_harness import AgentHost, agents, call, describe_actions
from aiohttp import web
from gateways import WatchedProcess, with_timeout

from dragoman.backends.claude_code.agent.servers import check_servers
from dragoman.backends.claude_code.agent.workspace import MARK
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject

ANYTHING = frozenset({"default", "bypassPermissions"})
PROGRAM = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {}
    if asked["method"] == "initialize":
        version, server = asked["params"]["protocolVersion"], {"name": "k", "version": "1"}
        answer = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
    if asked["method"] == "tools/list":
        answer = {"tools": [{"name": "show", "description": "", "inputSchema": {"type": "object"}}]}
    if asked["method"] == "tools/call":
        names = asked["params"]["arguments"]["names"]
        answer = {"content": [{"type": "text", "text": json.dumps([os.environ.get(name) for name in names])}]}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer}), flush=True)
"""


@asynccontextmanager
async def server_host(folder: Path) -> AsyncIterator[AgentHost]:
    """Agents that may use MCP servers and their tool."""
    async with agents(folder, modes=ANYTHING, allowed_tools=("mcp__keys__show",)) as created_host:
        yield created_host


def program(folder: Path, **fields: object) -> dict[str, object]:
    """Return the definition of a server whose tool returns environment variables."""
    path = folder / "server.py"
    path.write_text(PROGRAM)
    return {"command": sys.executable, "args": ["-I", str(path)], **fields}


async def test_a_program_server(tmp_path: Path) -> None:
    """Its environment has the client's variables and the run's mark, and none of the runtime's keys."""
    async with server_host(tmp_path) as host:
        server = program(tmp_path, env={"GIVEN": "by the client", MARK: "another's"})
        request = call("mcp__keys__show", names=["GIVEN", "ANTHROPIC_API_KEY", MARK])
        answer = await host.ask(request, mcp_servers={"keys": server})
        [result] = cast("list[JSONObject]", host.result["content"])
        given, key, mark = json.loads(str(result["text"]))
        assert (given, key) == ("by the client", "")
        assert "run_test" in mark
        assert "mcp__keys__show" in describe_actions(answer)
        assert host.workspaces == []


async def test_a_program_server_ends_with_its_run(tmp_path: Path) -> None:
    """Also one that ignores the end of its input and leaves its session."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with server_host(tmp_path) as host:
        server = program(tmp_path)
        begins, stays = (
            f"import os\nos.setsid()\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\n",
            "time.sleep(3600)",
        )
        (tmp_path / "server.py").write_text(f"{begins}{PROGRAM}\nimport time\n{stays}\n")
        run = asyncio.create_task(host.ask("Reply with exactly: PONG", mcp_servers={"keys": server}))
        process = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        assert (await with_timeout(run)).text == "PONG"
        await process.exited()


@asynccontextmanager
async def listening(status: int) -> AsyncIterator[tuple[str, list[str | None]]]:
    """An HTTP server; yields its URL, and the tokens in the headers that it got."""
    tokens: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("x-token"))
        if status != web.HTTPOk.status_code or request.method != "POST":
            return web.Response(status=status if request.method == "POST" else 405)
        message = await request.json()
        if "id" not in message:
            return web.Response(status=202)
        version = message.get("params", {}).get("protocolVersion")
        server = {"name": "k", "version": "1"}
        answers: dict[str, dict[str, Any]] = {
            "initialize": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server},
            "tools/list": {"tools": [{"name": "show", "description": "", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "FROM AFAR"}]},
        }
        result = answers.get(message["method"], {})
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        address, port = runner.addresses[0][:2]
        yield f"http://{address}:{port}/mcp", tokens
    finally:
        await runner.cleanup()


async def test_an_http_server(tmp_path: Path) -> None:
    """The agent uses its tools, and the server gets the client's headers."""
    async with server_host(tmp_path) as host, listening(200) as (url, tokens):
        server = {"type": "http", "url": url, "headers": {"X-Token": "t"}}
        answer = await host.ask(call("mcp__keys__show", a=1), mcp_servers={"keys": server})
        assert answer.text == "The tool said: FROM AFAR"
        assert set(tokens) == {"t"}


@pytest.mark.parametrize("fault", ["missing", "dead", "refuses"])
async def test_a_server_that_does_not_start_is_an_error(tmp_path: Path, fault: str) -> None:
    """The error names the server, Claude is not called, and nothing remains. The runtime would omit the server."""
    async with server_host(tmp_path) as host, listening(500) as (url, _):
        servers: dict[str, dict[str, object]] = {
            "missing": {"command": str(tmp_path / "missing")},
            "dead": {"command": sys.executable, "args": ["-c", "raise SystemExit(3)"]},
            "refuses": {"type": "http", "url": url},
        }
        with pytest.raises(InvalidRequest, match=f"`{fault}` is not available: ") as caught:
            await host.ask("Hello", mcp_servers={"keys": program(tmp_path), fault: servers[fault]})
        assert (caught.value.code, caught.value.param) == ("mcp_server_failed", f"claude.mcp_servers.{fault}")
        assert host.runtime.calls == []
        assert host.workspaces == []


async def test_a_name_that_the_runtime_refuses(tmp_path: Path) -> None:
    """The runtime reserves some names."""
    async with server_host(tmp_path) as host:
        with pytest.raises(InvalidRequest, match="does not accept it"):
            await host.ask("Hello", mcp_servers={"workspace": program(tmp_path)})


@pytest.mark.parametrize(
    ("server", "param"),
    [
        ({}, "a.command"),
        ({"hello": 1}, "a.hello"),
        ({"type": "sdk", "name": "a"}, "a.type"),
        ({"type": {}}, "a.type"),
        ({"type": "http"}, "a.url"),
        ({"type": "http", "url": 5}, "a.url"),
        ({"type": "http", "url": "https://a.example", "headers": {"x": 1}}, "a.headers"),
        ({"type": "http", "url": "https://a.example", "headersHelper": "sh"}, "a.headersHelper"),
        ({"command": ["sh"]}, "a.command"),
        ({"command": "sh", "args": "-c"}, "a.args"),
        ({"command": "sh", "env": {"PATH": 1}}, "a.env"),
        ({"command": "sh", "env": []}, "a.env"),
    ],
)
def test_invalid_definitions_are_refused(server: Mapping[str, object], param: str) -> None:
    """The error names the invalid field."""
    with pytest.raises(InvalidRequest) as caught:
        check_servers({"a": server})
    assert caught.value.param == f"claude.mcp_servers.{param}"


@pytest.mark.parametrize(
    "server",
    [
        {"type": "http", "url": "https://a.example/${ANTHROPIC_API_KEY}"},
        {"type": "sse", "url": "https://a.example", "headers": {"x": "Bearer ${ANTHROPIC_API_KEY:-}"}},
        {"command": "sh", "env": {"KEY": "${CLAUDE_CODE_OAUTH_TOKEN}"}},
        {"command": "sh", "args": ["-c", "echo ${ANTHROPIC_AUTH_TOKEN}"]},
    ],
)
def test_variables_in_definitions_are_refused(server: Mapping[str, object]) -> None:
    """The runtime would replace them with its own values, so a client's server could read its key."""
    with pytest.raises(InvalidRequest, match="variables") as caught:
        check_servers({"a": server})
    assert caught.value.param == "claude.mcp_servers.a"
