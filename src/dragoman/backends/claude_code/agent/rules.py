"""What agents may do: the operator's rules for directories, permission modes, MCP servers and cost.

Also the answers to the runtime's permission requests. The runtime performs what a permission mode and the operator's
rules allow without a request. So whatever it requests is not allowed, and no user is present who could allow it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from dragoman.backends.claude_code.agent.boundary import Boundary
from dragoman.backends.claude_code.agent.servers import check_servers
from dragoman.core.errors import Forbidden, InvalidRequest
from dragoman.core.messages import JSON, AgentTask, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning

TOOLS = ("Agent", "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "WebFetch", "WebSearch", "Write")
"""The runtime's tools that work without a terminal, and whose work ends with the run."""

HOOKS: JSON = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["place"]}]}
"""Makes the runtime send a `hook_callback` request before each use of a tool, also of a tool that is allowed."""

_COMMANDS = "Bash"
_UNRESTRICTED_MODE = "bypassPermissions"
_NO_COMMANDS = (
    f"The tool `{_COMMANDS}` is not offered: agents run without a boundary here, and no command is allowed. The "
    "operator allows commands with `--allow-tool RULE`."
)
_MAX_DIRECTORIES = 64
"""Each is named on a command line, whose length is limited."""

_MODE_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "plan": "In plan mode nothing may be changed: give the plan as your answer",
        "acceptEdits": "Reading and editing files below the working directory is allowed",
        "dontAsk": "Only actions that are allowed beforehand can be done",
    }
)
_DEFAULT_ADVICE = "Reading below the working directory is allowed"


@value_object(kw_only=True)
class PermittedTask:
    """A client's task for an agent, as far as the rules allow it. All paths are real paths.

    Attributes:
        directory: The working directory.
        mode: The permission mode.
        tools: Names of the tools.
        no_commands: Whether the tool for commands is left out although the client did not limit the tools.
        add_dirs: Further directories that the agent may use.
        mcp_servers: The client's MCP servers, by name.
        max_turns: The maximum number of rounds of tool calls.
        max_budget_usd: The maximum cost in dollars.
    """

    directory: Path
    mode: str
    tools: tuple[str, ...]
    no_commands: bool
    add_dirs: tuple[Path, ...]
    mcp_servers: Mapping[str, Mapping[str, object]]
    max_turns: int | None
    max_budget_usd: float | None

    @property
    def is_unrestricted(self) -> bool:
        """Whether the agent may do everything that the gateway's own user may."""
        return self.mode == _UNRESTRICTED_MODE

    def has_moved(self) -> bool:
        """Return whether a directory is no longer the one that was checked, because of a link in its path."""
        return any(os.path.realpath(path) != str(path) for path in (self.directory, *self.add_dirs))


@value_object(kw_only=True)
class AgentRules:
    """The operator's rules.

    Attributes:
        directories: Agents work in and below these. Real paths. Agents are off if there are none.
        modes: The permission modes that clients may choose.
        allowed_tools: What tools may do without a permission, in the runtime's syntax (`Bash(git *)`).
        max_budget_usd: The maximum cost of one run in dollars; None for no limit.
        boundary: What the processes can reach; None for all that the gateway's own user can.
    """

    directories: tuple[Path, ...] = ()
    modes: frozenset[str] = frozenset({"default", "plan", "acceptEdits"})
    allowed_tools: tuple[str, ...] = ()
    max_budget_usd: float | None = None
    boundary: Boundary | None = None

    @property
    def allows_commands(self) -> bool:
        """Whether a rule allows commands: some, or all."""
        return any(rule == "Bash" or rule.startswith("Bash(") for rule in self.allowed_tools)

    @property
    def allows_git(self) -> bool:
        """Whether a rule allows git, or every command."""
        return any(rule == "Bash" or rule.startswith(("Bash(git", "Bash(*")) for rule in self.allowed_tools)

    def permit(self, task: AgentTask) -> PermittedTask:
        """Check a task against the rules. Blocks: it looks up paths.

        Raises:
            Forbidden: The operator does not allow it. The text names the setting.
            InvalidRequest: It is invalid.
        """
        if not self.directories:
            raise Forbidden(
                "Agents are off. The operator turns them on by naming a directory that they may work in: "
                "`--allow-dir DIR`.",
                code="agents_off",
                param="claude",
            )
        self._check_mode(task)
        self._check_servers(task)
        budgets = [amount for amount in (task.max_budget_usd, self.max_budget_usd) if amount is not None]
        return PermittedTask(
            directory=self._working_directory(task),
            mode=task.permission_mode,
            tools=self._tools(task),
            no_commands=task.tools is None and not self._has_commands(task),
            add_dirs=self._add_dirs(task),
            mcp_servers=task.mcp_servers,
            max_turns=task.max_turns,
            max_budget_usd=min(budgets, default=None),
        )

    def check_directory(self, path: Path, param: str = "claude.working_directory") -> None:
        """Check that a real path is in a directory that agents may work in.

        Raises:
            Forbidden: It is not.
        """
        if not any(path.is_relative_to(allowed) for allowed in self.directories):
            raise Forbidden(
                "Agents may not work in this directory. The operator names the directories that they may work in: "
                "`--allow-dir DIR`.",
                code="directory_not_allowed",
                param=param,
            )

    def _working_directory(self, task: AgentTask) -> Path:
        param = "claude.working_directory"
        if task.working_directory is not None:
            return self._resolve(task.working_directory, param)
        if len(self.directories) > 1:
            raise InvalidRequest(
                f"`{param}` is required: agents may work in several directories here.",
                code="missing_required_parameter",
                param=param,
            )
        return self._resolve(str(self.directories[0]), param)

    def _add_dirs(self, task: AgentTask) -> tuple[Path, ...]:
        param = "claude.add_dirs"
        if len(task.add_dirs) > _MAX_DIRECTORIES:
            raise InvalidRequest(f"`{param}` may have at most {_MAX_DIRECTORIES} directories.", param=param)
        return tuple(self._resolve(path, f"{param}[{index}]") for index, path in enumerate(task.add_dirs))

    def _resolve(self, name: str, param: str) -> Path:
        if not name.startswith("/") or "\0" in name:
            raise InvalidRequest(f"`{param}` must be an absolute path.", param=param)
        # Resolve links and `..` before the check: the check is about where the path leads.
        path = Path(os.path.realpath(name))
        self.check_directory(path, param)
        if not os.path.isdir(path):  # noqa: PTH112 - `Path.is_dir` raises if a name is too long
            raise InvalidRequest(f"`{param}` is not a directory.", param=param)
        return path

    def _has_commands(self, task: AgentTask) -> bool:
        """Return whether the tool for commands may be offered.

        The runtime runs commands that only read, such as `grep -R`, without a permission. They follow links out of the
        directory. Only a boundary prevents that, so without one there are no commands, unless the operator allows some.
        """
        return self.boundary is not None or self.allows_commands or task.permission_mode == _UNRESTRICTED_MODE

    def _tools(self, task: AgentTask) -> tuple[str, ...]:
        has_commands = self._has_commands(task)
        if task.tools is None:
            return TOOLS if has_commands else tuple(name for name in TOOLS if name != _COMMANDS)
        for index, name in enumerate(task.tools):
            param = f"claude.tools[{index}]"
            if name not in TOOLS:
                raise InvalidRequest(f"Unknown tool `{name}`. Tools are {_join(TOOLS)}.", param=param)
            if name == _COMMANDS and not has_commands:
                raise Forbidden(_NO_COMMANDS, code="tool_not_allowed", param=param)
        return task.tools

    def _check_mode(self, task: AgentTask) -> None:
        if task.permission_mode not in self.modes:
            raise Forbidden(
                f"The permission mode `{task.permission_mode}` is not allowed here. Allowed are {_join(self.modes)}. "
                "The operator allows others with `--allow-permission-mode MODE`.",
                code="permission_mode_not_allowed",
                param="claude.permission_mode",
            )

    def _check_servers(self, task: AgentTask) -> None:
        """Check the MCP servers. A server is a program or a URL of the client's choice, so it equals any command."""
        if task.mcp_servers and _UNRESTRICTED_MODE not in self.modes:
            raise Forbidden(
                "A client may add MCP servers only if agents may run every command. The operator allows that with "
                f"`--allow-permission-mode {_UNRESTRICTED_MODE}`.",
                code="mcp_servers_not_allowed",
                param="claude.mcp_servers",
            )
        check_servers(task.mcp_servers)


def missing_tools(task: PermittedTask) -> Iterator[RequestWarning]:
    """Yield a warning if the tool for commands is left out."""
    if task.no_commands:
        yield RequestWarning("ignored", "claude.tools", _NO_COMMANDS)


def directory_moved() -> Forbidden:
    """Return the error for a directory that is no longer the one that was checked."""
    return Forbidden(
        "A directory of this agent was moved while it started.",
        code="directory_not_allowed",
        param="claude.working_directory",
    )


def deny_permission(mode: str, request: JSONObject) -> JSONObject:
    """Return the response to a `can_use_tool` request: a refusal with advice for the model."""
    tool = str(request.get("tool_name") or "this tool")
    reason = request.get("decision_reason")
    detail = f" ({reason})" if isinstance(reason, str) and reason else ""
    message = (
        f"Permission denied for {tool}{detail}: no user is present who could give it. "
        f"{_MODE_ADVICE.get(mode, _DEFAULT_ADVICE)}. Find another way, or report in your answer what could not be done."
    )
    return {"behavior": "deny", "message": message}


def check_before_tool(task: PermittedTask, _: JSONObject) -> JSONObject:
    """Return the response to a `hook_callback` request: a refusal if a directory was replaced by a link.

    The runtime resolves the names of its directories again at each use of a tool, and would follow the link.
    """
    if not task.has_moved():
        return {}
    reason = "Permission denied: a directory of this agent was moved. Stop, and report this in your answer."
    decision: JSONObject = {"permissionDecision": "deny", "permissionDecisionReason": reason}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}


def _join(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
