"""An agent's process: its command line and environment, and the wait for its MCP servers.

Nothing of a request is on the command line or in the environment: other users of the machine can read both.
"""

import asyncio
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.boundary import Mounts
from dragoman.backends.claude_code.agent.rules import AgentRules, PermittedTask
from dragoman.backends.claude_code.agent.servers import PARAM
from dragoman.backends.claude_code.agent.workspace import MARK, AgentWorkspace
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared import installation
from dragoman.backends.shared.message_reader import runtime_failed
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject

_SERVER_TIMEOUT = 30.0
_POLL_INTERVAL = 0.05

_NOT_FOR_AGENTS = ("CLAUDE_CODE_SIMPLE", "CLAUDE_AGENT_SDK_MCP_NO_PREFIX", "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT")
_MIN_BUDGET = 0.000001
"""Dollars. Less than any call costs, and the smallest amount that is written without an exponent."""

_SANDBOX = "IS_SANDBOX"
"""The variable by which the operator of a container confirms that even root may run an unrestricted agent."""


def arguments(task: PermittedTask, rules: AgentRules, workspace: AgentWorkspace) -> list[str]:
    """Return the command line after the executable."""
    argv = [
        *protocol.COMMON_FLAGS,
        "--permission-prompt-tool",
        "stdio",
        "--permission-mode",
        task.mode,
        f"--tools={','.join(task.tools)}",
    ]
    if not task.is_unrestricted:
        # The tools that read and write files stay in the directories, even if a rule or a mode allows more.
        argv.append("--restricted")
        if not rules.allows_git:
            # A repository's own configuration can make git run any program, even to show a status.
            argv += ["--disallowedTools", "Bash(git *)"]
    for path in task.add_dirs:
        argv += ["--add-dir", str(path)]
    for rule in rules.allowed_tools:
        argv += ["--allowedTools", rule]
    if workspace.server_file:
        argv += ["--mcp-config", str(workspace.server_file)]
    if task.max_turns is not None:
        argv += ["--max-turns", str(task.max_turns)]
    if task.max_budget_usd is not None:
        argv += ["--max-budget-usd", f"{max(task.max_budget_usd, _MIN_BUDGET):.6f}"]
    return argv


def environment(
    options: ClaudeCodeOptions,
    workspace: AgentWorkspace,
    mark: str,
    api: tuple[str, str] | None,
    outer: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the environment: the runtime's, with the agent's mark and the directories of its workspace.

    Args:
        options: The backend's options.
        workspace: The run's files.
        mark: The value of `MARK`.
        api: The address of the API and the token for it, in place of the API key.
        outer: The gateway's environment.
    """
    variables = protocol.environment(options, outer)
    for name in _NOT_FOR_AGENTS:
        variables.pop(name, None)
    variables |= {
        MARK: mark,
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        # A command in the background would be killed with the process, half done.
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_TMPDIR": str(workspace.scratch),
        "CLAUDE_ENV_FILE": str(workspace.shell_setup),
        "XDG_CACHE_HOME": str(workspace.cache),
    }
    if not options.signed_in:
        variables |= {"CLAUDE_CONFIG_DIR": str(workspace.config), "HOME": str(workspace.home)}
    if options.agents.boundary is not None:
        variables["TMPDIR"] = str(workspace.scratch)
    if api is not None:
        variables["ANTHROPIC_BASE_URL"], variables["ANTHROPIC_API_KEY"] = api
        for name in ("NO_PROXY", "no_proxy"):
            variables[name] = ",".join(filter(None, (variables.get(name), "127.0.0.1")))
    if _SANDBOX in outer:
        variables[_SANDBOX] = outer[_SANDBOX]
    return variables


def mounts(
    options: ClaudeCodeOptions, workspace: AgentWorkspace, task: PermittedTask, variables: Mapping[str, str]
) -> Mounts:
    """Return what an agent's boundary shows of the agent's own.

    With a sign-in, the file that holds it is shown, and nothing else of the operator's home: a command that could write
    settings there would act outside of the boundary, whenever the operator uses Claude Code.
    """
    writable = [(workspace.path, workspace.path)]
    files = []
    if options.signed_in:
        home = Path(variables.get("HOME", "/"))
        config = Path(variables.get("CLAUDE_CONFIG_DIR") or home / ".claude")
        writable += [(workspace.home, home), (workspace.config, config)]
        files.append(config / ".credentials.json")
    writable += [(path, path) for path in (task.directory, *task.add_dirs)]
    return Mounts(
        directory=task.directory,
        writable=writable,
        scratch=workspace.scratch,
        executable=installation.locate(options),
        files=files,
    )


async def wait_for_servers(session: Session, names: Collection[str]) -> None:
    """Wait until the client's MCP servers are connected. The runtime would omit a missing server without a word.

    Raises:
        InvalidRequest: A server does not connect. The text has the runtime's reason.
        UpstreamFailed: The runtime's response is not readable.
    """
    try:
        async with asyncio.timeout(_SERVER_TIMEOUT):
            while pending := _pending_servers(await session.control("mcp_status", {}), names):  # noqa: ASYNC110 - the runtime does not notify
                await asyncio.sleep(_POLL_INTERVAL)
    except TimeoutError:
        raise _server_failed(pending[0], f"it did not answer within {_SERVER_TIMEOUT:g} seconds") from None


def _pending_servers(response: JSONObject, names: Collection[str]) -> list[str]:
    """Return the names of the servers that are not connected yet."""
    servers = _servers_by_name(response)
    pending = []
    for name in names:
        match servers.get(name, {}).get("status"):
            case "connected":
                pass
            case "pending":
                pending.append(name)
            case "needs-auth":
                raise _server_failed(name, "it requires a sign-in, which needs a person")
            case None:
                raise _server_failed(name, "Claude Code does not accept it")
            case str(status):
                raise _server_failed(name, str(servers[name].get("error") or status))
            case _:
                raise _unreadable()
    return pending


def _servers_by_name(response: JSONObject) -> dict[str, JSONObject]:
    servers = response.get("mcpServers") or []
    if not isinstance(servers, list):
        raise _unreadable()
    by_name: dict[str, JSONObject] = {}
    for server in servers:
        if not isinstance(server, dict) or not isinstance(name := server.get("name"), str):
            raise _unreadable()
        by_name[name] = server
    return by_name


def _unreadable() -> Exception:
    return runtime_failed("its response to `mcp_status` is not readable")


def _server_failed(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The MCP server `{name}` is not available: {reason}.", code="mcp_server_failed", param=f"{PARAM}.{name}"
    )
