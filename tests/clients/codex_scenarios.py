"""What the compatibility table tries with Codex: `codex exec`, and `codex app-server`, which its editors use."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from agent_session import AgentSession, LineProcess, Message, ScenarioError, expect
from marker_mcp_server import MARKER

CATALOG_MODEL = "gpt-5.5"
"""A model of Codex's own list, for which it offers more tools. The gateway must accept the name."""
_SERVER = Path(__file__).with_name("marker_mcp_server.py")
_SETTINGS = ("check_for_update_on_startup=false", "analytics.enabled=false")
_MCP_SETTINGS = (
    f"mcp_servers.markers.command={json.dumps(sys.executable)}",
    f"mcp_servers.markers.args={json.dumps([str(_SERVER)])}",
)
_OPENAI_SETTINGS = ('model_providers.dragoman.name="OpenAI"',)
"""Codex compacts on the server if its provider has this name, and by a prompt of its own otherwise."""
_AGENT_ID = re.compile(r'"agent_id": ?"([^"]+)"')
_PATCH = "*** Begin Patch\n*** Add File: note.txt\n+marker-4713\n*** End Patch"


def _text(agent: AgentSession) -> None:
    expect("PONG", _exec(agent, "Reply with exactly: PONG"))


def _shell(agent: AgentSession) -> None:
    expect("marker-4711", _exec(agent, _call("exec_command", cmd="echo marker-$((4700 + 11))")))


def _mcp(agent: AgentSession) -> None:
    expect(f"{MARKER}4712", _exec(agent, _call("mcp__markers__echo_it", text="4712"), settings=_MCP_SETTINGS))


def _deferred_mcp(agent: AgentSession) -> None:
    """Search for the tool, then call what was found."""
    with _thread(agent, _MCP_SETTINGS, model=CATALOG_MODEL) as (app, thread):
        _turn(app, thread, _call("tool_search", query="echo_it marker"))
        expect(f"{MARKER}4712", _turn(app, thread, _call("mcp__markers__echo_it", text="4712")))


def _patch_command(agent: AgentSession) -> None:
    _exec(agent, _call("exec_command", cmd=f"apply_patch <<'EOF'\n{_PATCH}\nEOF"))
    _expect_patched(agent)


def _patch_tool(agent: AgentSession) -> None:
    _exec(agent, _call("apply_patch", input=_PATCH), "--model", CATALOG_MODEL)
    _expect_patched(agent)


def _sub_agent(agent: AgentSession) -> None:
    with _thread(agent) as (app, thread):
        output = _turn(app, thread, _call("multi_agent_v1__spawn_agent", message="Reply with exactly: PONG-4714"))
        found = _AGENT_ID.search(output)
        if found is None:
            raise ScenarioError(f"no agent was started: {output[-100:]}")
        output += _turn(app, thread, _call("multi_agent_v1__wait_agent", targets=[found[1]], timeout_ms=20000))
        expect("PONG-4714", output)


def _compaction(agent: AgentSession) -> None:
    with _thread(agent) as (app, thread):
        _compact(app, thread)


def _server_compaction(agent: AgentSession) -> None:
    with _thread(agent, _OPENAI_SETTINGS) as (app, thread):
        _compact(app, thread)


def _interruption(agent: AgentSession) -> None:
    with _thread(agent) as (app, thread):
        turn = _start_turn(app, thread, "Simulate: pace 0.2\nRepeat 400 times: Hello")
        app.wait(_is("item/agentMessage/delta"), "text")
        app.request("turn/interrupt", threadId=thread, turnId=turn)
        status = app.wait(_is("turn/completed"), "end of the turn")["params"]["turn"]["status"]
        expect("interrupted", status)
        expect("PONG-4715", _turn(app, thread, "Reply with exactly: PONG-4715"))


def _resumption(agent: AgentSession) -> None:
    _exec(agent, _call("exec_command", cmd="echo marker-4716"))
    output = _exec(agent, "resume", "--last", _call("exec_command", cmd="echo marker-$((4700 + 17))"))
    expect("marker-4717", output)


SCENARIOS: Mapping[str, Callable[[AgentSession], None]] = MappingProxyType(
    {
        "text": _text,
        "shell command": _shell,
        "MCP server": _mcp,
        "deferred MCP tool": _deferred_mcp,
        "sub-agent": _sub_agent,
        "patch by a command": _patch_command,
        "patch by its tool": _patch_tool,
        "compaction by a prompt": _compaction,
        "compaction by the server": _server_compaction,
        "interrupted turn": _interruption,
        "resumed session": _resumption,
    }
)
"""The scenarios, by the names that the table shows."""


def _call(tool: str, **arguments: object) -> str:
    """Return a prompt that makes the simulator call a tool."""
    return f"Call the `{tool}` tool with {json.dumps(arguments)}."


def _exec(agent: AgentSession, *arguments: str, settings: tuple[str, ...] = ()) -> str:
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", *_overrides(settings))
    return agent.run("exec", *options, *arguments)


def _overrides(settings: tuple[str, ...]) -> Iterator[str]:
    for setting in (*_SETTINGS, *settings):
        yield from ("-c", setting)


@contextmanager
def _thread(
    agent: AgentSession, settings: tuple[str, ...] = (), model: str | None = None
) -> Iterator[tuple[LineProcess, str]]:
    """Run the server of the editors, and start a conversation. Yield the server and the conversation's id."""
    with agent.lines(*_overrides(settings), "app-server") as app:
        app.request("initialize", clientInfo={"name": "compatibility", "version": "1"})
        chosen = {} if model is None else {"model": model}
        started = app.request(
            "thread/start", cwd=str(agent.project), approvalPolicy="never", sandbox="danger-full-access", **chosen
        )
        yield app, started["thread"]["id"]


def _start_turn(app: LineProcess, thread: str, text: str) -> str:
    started = app.request("turn/start", threadId=thread, input=[{"type": "text", "text": text}])
    turn_id: str = started["turn"]["id"]
    return turn_id


def _turn(app: LineProcess, thread: str, text: str) -> str:
    """Run one turn to its end and return its texts.

    Raises:
        ScenarioError: The turn failed.
    """
    _start_turn(app, thread, text)
    return _finish_turn(app, thread)


def _finish_turn(app: LineProcess, thread: str) -> str:
    texts: list[str] = []

    def is_end(message: Message) -> bool:
        params = message.get("params") or {}
        if params.get("threadId") != thread:  # it is from a sub-agent
            return False
        if _is("item/completed")(message) and params["item"]["type"] == "agentMessage":
            texts.append(params["item"]["text"])
        return _is("turn/completed")(message)

    turn = app.wait(is_end, "end of the turn")["params"]["turn"]
    if turn["status"] != "completed":
        raise ScenarioError(f"the turn {turn['status']}: {(turn.get('error') or {}).get('message')}")
    return "\n".join(texts)


def _compact(app: LineProcess, thread: str) -> None:
    """Compact a conversation of one turn, and continue it."""
    _turn(app, thread, "Repeat 3 times: Hello")
    app.request("thread/compact/start", threadId=thread)
    app.wait(_is_compacted, "compaction")
    _finish_turn(app, thread)
    expect("PONG-4718", _turn(app, thread, "Reply with exactly: PONG-4718"))


def _is_compacted(message: Message) -> bool:
    """Return whether a message ends the compaction.

    Raises:
        ScenarioError: The compaction failed.
    """
    if _is("turn/completed")(message) or _is("error")(message):
        error = message["params"].get("error") or message["params"].get("turn", {}).get("error") or {}
        raise ScenarioError(f"no compaction: {error.get('message')}")
    return _is("item/completed")(message) and message["params"]["item"]["type"] == "contextCompaction"


def _is(method: str) -> Callable[[Message], bool]:
    return lambda message: message.get("method") == method


def _expect_patched(agent: AgentSession) -> None:
    note = agent.project / "note.txt"
    expect("marker-4713", note.read_text(encoding="utf-8") if note.is_file() else "no file was written")
