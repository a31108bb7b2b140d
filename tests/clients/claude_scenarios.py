"""What the compatibility table tries with the command line of Claude Code."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from agent_session import AgentSession, Message, ScenarioError, expect
from marker_mcp_server import MARKER

ENVIRONMENT = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
"""Variables that keep the client from calling other addresses."""
_SERVER = Path(__file__).with_name("marker_mcp_server.py")
_MCP = json.dumps({"mcpServers": {"markers": {"command": sys.executable, "args": [str(_SERVER)]}}})
_TOOL = "mcp__markers__echo_it"
_ALLOWED = f"--allowedTools=Bash,Read,Write,Edit,Agent,ToolSearch,{_TOOL}"


def _text(agent: AgentSession) -> None:
    expect("PONG", _print(agent, "Reply with exactly: PONG"))


def _shell(agent: AgentSession) -> None:
    expect("marker-4711", _print(agent, _call("Bash", command="echo marker-$((4700 + 11))")))


def _deferred_mcp(agent: AgentSession) -> None:
    """Search for the tool, then call what was found."""
    session = str(uuid4())
    _print(agent, _call("ToolSearch", query=f"select:{_TOOL}"), f"--mcp-config={_MCP}", "--session-id", session)
    output = _print(agent, _call(_TOOL, text="4712"), f"--mcp-config={_MCP}", "--resume", session)
    expect(f"{MARKER}4712", output)


def _mcp(agent: AgentSession) -> None:
    settings = json.dumps({"env": {"ENABLE_TOOL_SEARCH": "false"}})
    output = _print(agent, _call(_TOOL, text="4712"), f"--mcp-config={_MCP}", f"--settings={settings}")
    expect(f"{MARKER}4712", output)


def _sub_agent(agent: AgentSession) -> None:
    call = _call(
        "Agent",
        description="Say pong",
        prompt="Reply with exactly: PONG-4714",
        subagent_type="general-purpose",
        run_in_background=False,
    )
    expect("PONG-4714", _print(agent, call))


def _patch(agent: AgentSession) -> None:
    note = agent.project / "note.txt"
    session = str(uuid4())
    _print(agent, _call("Write", file_path=str(note), content="one\ntwo\n"), "--session-id", session)
    edit = _call("Edit", file_path=str(note), old_string="two", new_string="marker-4713")
    _print(agent, edit, "--resume", session)
    expect("one marker-4713", " ".join(note.read_text(encoding="utf-8").split()) if note.is_file() else "no file")


def _compaction(agent: AgentSession) -> None:
    session = str(uuid4())
    _print(agent, "Repeat 3 times: Hello", "--session-id", session)
    output = agent.run(*_arguments("stream-json"), "--verbose", "--resume", session, "/compact")
    expect("compact_boundary", output)
    expect("PONG-4718", _print(agent, "Reply with exactly: PONG-4718", "--resume", session))


def _interruption(agent: AgentSession) -> None:
    options = ("--verbose", "--include-partial-messages", "--input-format", "stream-json")
    with agent.lines(*_arguments("stream-json"), *options) as client:
        client.send(_user("Simulate: pace 0.2\nRepeat 400 times: Hello"))
        client.wait(_is_text, "text")
        client.send({"type": "control_request", "request_id": "1", "request": {"subtype": "interrupt"}})
        client.wait(_is("result"), "end of the turn")
        client.send(_user("Reply with exactly: PONG-4715"))
        expect("PONG-4715", _result(client.wait(_is("result"), "end of the turn")))


def _resumption(agent: AgentSession) -> None:
    session = str(uuid4())
    _print(agent, _call("Bash", command="echo marker-4716"), "--session-id", session)
    output = _print(agent, _call("Bash", command="echo marker-$((4700 + 17))"), "--resume", session)
    expect("marker-4717", output)


SCENARIOS: Mapping[str, Callable[[AgentSession], None]] = MappingProxyType(
    {
        "text": _text,
        "shell command": _shell,
        "MCP server": _mcp,
        "deferred MCP tool": _deferred_mcp,
        "sub-agent": _sub_agent,
        "patch": _patch,
        "compaction": _compaction,
        "interrupted turn": _interruption,
        "resumed session": _resumption,
    }
)
"""The scenarios, by the names that the table shows."""


def _call(tool: str, **arguments: object) -> str:
    """Return a prompt that makes the simulator call a tool."""
    return f"Call the `{tool}` tool with {json.dumps(arguments)}."


def _arguments(output: str) -> tuple[str, ...]:
    return ("--print", "--output-format", output, _ALLOWED)


def _print(agent: AgentSession, prompt: str, *options: str) -> str:
    """Run one prompt and return the final text."""
    return _result(json.loads(agent.run(*_arguments("json"), *options, prompt)))


def _result(message: Message) -> str:
    if message.get("is_error"):
        raise ScenarioError(f"{message.get('subtype')}: {message.get('result')}")
    return str(message.get("result"))


def _user(text: str) -> Message:
    return {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": text}]}}


def _is(kind: str) -> Callable[[Message], bool]:
    return lambda message: message.get("type") == kind


def _is_text(message: Message) -> bool:
    delta = (message.get("event") or {}).get("delta") or {}
    return message.get("type") == "stream_event" and delta.get("type") == "text_delta"
