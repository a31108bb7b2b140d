"""Whether the servers of further tools came up.

A server that is missing would be missing in silence: the runtime leaves out what it cannot read or reach.

An agent's command line and environment. What people write is on neither.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import cast

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.process_cleanup import MARK
from dragoman.backends.claude_code.agent.rules import AgentRules, Permitted
from dragoman.backends.claude_code.agent.servers import PARAM
from dragoman.backends.claude_code.agent.workspace import AgentWorkspace
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject

_PATIENCE = 30.0
_PAUSE = 0.05


async def connected(session: Session, names: Iterable[str]) -> None:
    """Wait for them to come up.

    Raises:
        InvalidRequest: One does not, and what the runtime says of it.
    """
    wanted = list(names)
    try:
        async with asyncio.timeout(_PATIENCE):
            while waiting := _not_yet(await session.control("mcp_status", {}), wanted):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise _failed(waiting[0], f"it did not answer within {_PATIENCE:g} seconds") from None


def _not_yet(status: JSONObject, wanted: Iterable[str]) -> list[str]:
    told = {str(server["name"]): server for server in cast("list[JSONObject]", status.get("mcpServers") or [])}
    waiting = []
    for name in wanted:
        match told.get(name, {}).get("status"):
            case "connected":
                pass
            case "pending":
                waiting.append(name)
            case "needs-auth":
                raise _failed(name, "it wants a sign-in, which nobody is here to make")
            case None:
                raise _failed(name, "Claude Code does not take it")
            case other:
                raise _failed(name, str(told[name].get("error") or other))
    return waiting


def _failed(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The server `{name}` could not be had: {why}.", code="mcp_server_failed", param=f"{PARAM}.{name}"
    )


_NOT_OF_AGENTS = ("CLAUDE_CODE_SIMPLE", "CLAUDE_AGENT_SDK_MCP_NO_PREFIX", "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT")
_LEAST = 0.000001
"""In dollars. Less than any call costs, and the least that is written without an exponent."""

_SANDBOX = "IS_SANDBOX"
"""By which the owner of a container says that even root may let an agent do anything."""


def arguments(permitted: Permitted, rules: AgentRules, workshop: AgentWorkspace) -> list[str]:
    """The command line behind the executable."""
    made = [
        *protocol.COMMON_FLAGS,
        "--permission-prompt-tool",
        "stdio",
        "--permission-mode",
        permitted.mode,
        f"--tools={','.join(permitted.tools)}",
    ]
    if not permitted.anything:
        # The tools that read and write files stay in the directories, whatever a rule or a mode would allow.
        made.append("--restricted")
    for path in permitted.add_dirs:
        made += ["--add-dir", str(path)]
    for rule in rules.without_asking:
        made += ["--allowedTools", rule]
    if workshop.servers:
        made += ["--mcp-config", str(workshop.servers)]
    if permitted.max_turns is not None:
        made += ["--max-turns", str(permitted.max_turns)]
    if permitted.max_budget_usd is not None:
        made += ["--max-budget-usd", f"{max(permitted.max_budget_usd, _LEAST):.6f}"]
    return made


def environment(
    options: ClaudeCodeOptions, workshop: AgentWorkspace, mark: str, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of an agent's process: the runtime's, and what keeps its work together."""
    made = protocol.environment(options, outer)
    for name in _NOT_OF_AGENTS:
        made.pop(name, None)
    made |= {
        MARK: mark,
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        # A command that runs on behind would end with the process, half done.
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_TMPDIR": str(workshop.scratch),
        "CLAUDE_ENV_FILE": str(workshop.shell),
        "XDG_CACHE_HOME": str(workshop.cache),
    }
    if not options.signed_in:
        made["CLAUDE_CONFIG_DIR"] = str(workshop.config)
    if _SANDBOX in outer:
        made[_SANDBOX] = outer[_SANDBOX]
    return made
