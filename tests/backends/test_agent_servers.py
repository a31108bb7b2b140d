"""Servers of further tools: which are taken, that they come up, and what is said of one that does not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from agent_harness import AgentHost, agents, call, did
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
async def host(folder: Path) -> AsyncIterator[AgentHost]:
    """Agents that may have servers, whose tool they may use."""
    async with agents(folder, modes=ANYTHING, allowed_tools=("mcp__keys__show",)) as made:
        yield made


def program(folder: Path, **more: object) -> dict[str, object]:
    """A server that shows its environment."""
    path = folder / "server.py"
    path.write_text(PROGRAM)
    return {"command": sys.executable, "args": ["-I", str(path)], **more}


async def test_a_program(tmp_path: Path) -> None:
    """It gets what the client gives it and none of the runtime's keys, and carries the mark by which it is ended."""
    async with host(tmp_path) as working:
        server = program(tmp_path, env={"GIVEN": "by the client", MARK: "another's"})
        asked = call("mcp__keys__show", names=["GIVEN", "ANTHROPIC_API_KEY", MARK])
        answer = await working.ask(asked, mcp_servers={"keys": server})
        [told] = cast("list[JSONObject]", working.result["content"])
        given, key, mark = json.loads(str(told["text"]))
        assert (given, key) == ("by the client", "")
        assert "run_test" in mark
        assert "mcp__keys__show" in did(answer)
        assert working.left == []


async def test_a_program_ends_with_its_run(tmp_path: Path) -> None:
    """Also one that neither minds the end of its input nor stays in the session that it was started in."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with host(tmp_path) as working:
        server = program(tmp_path)
        begins, stays = (
            f"import os\nos.setsid()\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\n",
            "time.sleep(3600)",
        )
        (tmp_path / "server.py").write_text(f"{begins}{PROGRAM}\nimport time\n{stays}\n")
        asking = asyncio.create_task(working.ask("Reply with exactly: PONG", mcp_servers={"keys": server}))
        watched = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        assert (await with_timeout(asking)).text == "PONG"
        await watched.exited()


@asynccontextmanager
async def listening(status: int) -> AsyncIterator[tuple[str, list[str | None]]]:
    """A server that is an address, and the headers that it was asked with."""
    tokens: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        tokens.append(request.headers.get("x-token"))
        if status != web.HTTPOk.status_code or request.method != "POST":
            return web.Response(status=status if request.method == "POST" else 405)
        asked = await request.json()
        if "id" not in asked:
            return web.Response(status=202)
        version = asked.get("params", {}).get("protocolVersion")
        server = {"name": "k", "version": "1"}
        answers: dict[str, dict[str, Any]] = {
            "initialize": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server},
            "tools/list": {"tools": [{"name": "show", "description": "", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "FROM AFAR"}]},
        }
        result = answers.get(asked["method"], {})
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": result})

    app = web.Application()
    app.router.add_route("*", "/mcp", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host_, port = runner.addresses[0][:2]
        yield f"http://{host_}:{port}/mcp", tokens
    finally:
        await runner.cleanup()


async def test_an_address(tmp_path: Path) -> None:
    """Its tools are the agent's, and it is asked with the client's headers."""
    async with host(tmp_path) as working, listening(200) as (url, tokens):
        server = {"type": "http", "url": url, "headers": {"X-Token": "t"}}
        answer = await working.ask(call("mcp__keys__show", a=1), mcp_servers={"keys": server})
        assert answer.text == "The tool said: FROM AFAR"
        assert set(tokens) == {"t"}


@pytest.mark.parametrize("fault", ["missing", "dead", "refuses"])
async def test_one_that_does_not_come_up_is_an_error(tmp_path: Path, fault: str) -> None:
    """Its name is said, Claude is not asked, and nothing is left: the runtime would leave it out in silence."""
    async with host(tmp_path) as working, listening(500) as (url, _):
        servers: dict[str, dict[str, object]] = {
            "missing": {"command": str(tmp_path / "missing")},
            "dead": {"command": sys.executable, "args": ["-c", "raise SystemExit(3)"]},
            "refuses": {"type": "http", "url": url},
        }
        with pytest.raises(InvalidRequest, match=f"`{fault}` is not available: ") as caught:
            await working.ask("Hello", mcp_servers={"keys": program(tmp_path), fault: servers[fault]})
        assert (caught.value.code, caught.value.param) == ("mcp_server_failed", f"claude.mcp_servers.{fault}")
        assert working.runtime.calls == []
        assert working.left == []


async def test_one_that_the_runtime_does_not_take(tmp_path: Path) -> None:
    """Some names are its own."""
    async with host(tmp_path) as working:
        with pytest.raises(InvalidRequest, match="does not accept it"):
            await working.ask("Hello", mcp_servers={"workspace": program(tmp_path)})


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
def test_what_is_no_server(server: Mapping[str, object], param: str) -> None:
    """Is refused by the name of what is wrong with it."""
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
def test_the_runtimes_variables_are_not_to_be_had(server: Mapping[str, object]) -> None:
    """It would put its own key in their place, for a server of the client's to read."""
    with pytest.raises(InvalidRequest, match="variables") as caught:
        check_servers({"a": server})
    assert caught.value.param == "claude.mcp_servers.a"
