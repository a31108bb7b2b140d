"""What agents may do: the owner's word on directories, permission modes, programs and cost.

What an agent is told where the runtime would ask a person for permission. There is nobody: the answer is no.

What a permission mode and the owner's rules allow, the runtime does without asking. So whatever is asked about is not
allowed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dragoman.backends.claude_code.agent import servers
from dragoman.core.errors import Forbidden, InvalidRequest
from dragoman.core.messages import JSON, AgentTask, JSONObject

TOOLS = ("Agent", "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "WebFetch", "WebSearch", "Write")
"""The runtime's tools that make sense where nobody sits at a terminal and nothing outlives the run."""

_ANYTHING = "bypassPermissions"
_MOST_DIRECTORIES = 64
"""Each is named on a command line, which holds only so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """A wish, as far as it is allowed: paths are real ones.

    Attributes:
        directory: Where the agent works.
        mode: Its permission mode.
        tools: Names of its tools.
        add_dirs: Further directories that it may use.
        mcp_servers: Servers of further tools, by name.
        max_turns: The most rounds of calling tools.
        max_budget_usd: The most it may cost.
    """

    directory: Path
    mode: str
    tools: tuple[str, ...]
    add_dirs: tuple[Path, ...]
    mcp_servers: Mapping[str, Mapping[str, object]]
    max_turns: int | None
    max_budget_usd: float | None

    @property
    def anything(self) -> bool:
        """Whether it may do all that the gateway's own user may."""
        return self.mode == _ANYTHING

    def in_place(self) -> bool:
        """Whether its directories are still what was checked, and no links have been put in their way."""
        return all(os.path.realpath(path) == str(path) for path in (self.directory, *self.add_dirs))


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRules:
    """What the owner allows.

    Attributes:
        directories: Agents work in these and below; real paths. None: there are no agents.
        modes: Permission modes that clients may ask for.
        without_asking: What tools may do without asking, as the runtime writes such rules (`Bash(git *)`).
        max_budget_usd: The most that one run may cost; None: no limit.
    """

    directories: tuple[Path, ...] = ()
    modes: frozenset[str] = frozenset({"default", "plan", "acceptEdits"})
    without_asking: tuple[str, ...] = ()
    max_budget_usd: float | None = None

    def permit(self, task: AgentTask) -> Permitted:
        """Check a wish.

        Raises:
            Forbidden: The owner does not allow it; the text says what to set.
            InvalidRequest: It cannot be done.
        """
        if not self.directories:
            raise Forbidden(
                "Agents are off. The gateway's owner turns them on by naming a directory that they may work in: "
                "`--allow-dir DIR`.",
                code="agents_off",
                param="claude",
            )
        self._check_mode(task)
        self._check_servers(task)
        return Permitted(
            directory=self._working_directory(task),
            mode=task.permission_mode,
            tools=_tools(task),
            add_dirs=self._further_directories(task),
            mcp_servers=task.mcp_servers,
            max_turns=task.max_turns,
            max_budget_usd=min(
                (amount for amount in (task.max_budget_usd, self.max_budget_usd) if amount is not None), default=None
            ),
        )

    def check_place(self, path: Path, param: str = "claude.working_directory") -> None:
        """Make sure that a real path lies where agents may work.

        Raises:
            Forbidden: It does not.
        """
        if not any(path.is_relative_to(allowed) for allowed in self.directories):
            raise Forbidden(
                "Agents may not work there. The gateway's owner names the directories that they may work in: "
                "`--allow-dir DIR`.",
                code="directory_not_allowed",
                param=param,
            )

    def _working_directory(self, task: AgentTask) -> Path:
        param = "claude.working_directory"
        if task.working_directory is not None:
            return self._directory(task.working_directory, param)
        if len(self.directories) > 1:
            raise InvalidRequest(
                "Name the directory to work in: agents may work in several here.",
                code="missing_required_parameter",
                param=param,
            )
        return self._directory(str(self.directories[0]), param)

    def _further_directories(self, task: AgentTask) -> tuple[Path, ...]:
        param = "claude.add_dirs"
        if len(task.add_dirs) > _MOST_DIRECTORIES:
            raise InvalidRequest(f"`{param}` may have {_MOST_DIRECTORIES} directories at most.", param=param)
        return tuple(self._directory(path, f"{param}[{place}]") for place, path in enumerate(task.add_dirs))

    def _directory(self, named: str, param: str) -> Path:
        if not named.startswith("/") or "\0" in named:
            raise InvalidRequest(f"`{param}` must be an absolute path.", param=param)
        # Links and `..` are followed first: what counts is where the path leads.
        path = Path(os.path.realpath(named))
        self.check_place(path, param)
        if not os.path.isdir(path):  # noqa: PTH112 - a name too long is none, where `Path.is_dir` raises
            raise InvalidRequest(f"`{param}` is no directory.", param=param)
        return path

    def _check_mode(self, task: AgentTask) -> None:
        if task.permission_mode not in self.modes:
            raise Forbidden(
                f"The permission mode `{task.permission_mode}` is not allowed here; allowed: {_listed(self.modes)}. "
                "The gateway's owner names those that are: `--allow-permission-mode MODE`.",
                code="permission_mode_not_allowed",
                param="claude.permission_mode",
            )

    def _check_servers(self, task: AgentTask) -> None:
        """A server is a program or an address of the client's choice: as good as any command."""
        if task.mcp_servers and _ANYTHING not in self.modes:
            raise Forbidden(
                "Servers of a client's choice are allowed only where every command is: the gateway's owner says so by "
                f"`--allow-permission-mode {_ANYTHING}`.",
                code="mcp_servers_not_allowed",
                param="claude.mcp_servers",
            )
        servers.check(task.mcp_servers)


def _tools(task: AgentTask) -> tuple[str, ...]:
    if task.tools is None:
        return TOOLS
    for place, name in enumerate(task.tools):
        if name not in TOOLS:
            raise InvalidRequest(
                f"There is no tool `{name}`. There are {_listed(TOOLS)}.", param=f"claude.tools[{place}]"
            )
    return task.tools


def _listed(names: frozenset[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


HOOKS: JSON = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["place"]}]}
"""By which the runtime asks this side before each use of a tool, one that it may use without asking included."""

_SCOPE = {
    "plan": "In plan mode nothing may be changed: give the plan as your answer",
    "acceptEdits": "Reading and editing files below the working directory is allowed without asking",
    "dontAsk": "Only what is allowed beforehand can be done",
}
_READING = "Reading below the working directory is allowed without asking"


def refusal(mode: str, request: JSONObject) -> JSONObject:
    """The response to a `can_use_tool` request: no, in words that the model can go on from."""
    tool = str(request.get("tool_name") or "this tool")
    reason = request.get("decision_reason")
    why = f" ({reason})" if isinstance(reason, str) and reason else ""
    said = (
        f"Permission denied for {tool}{why}: nobody is here to be asked. {_SCOPE.get(mode, _READING)}. Find another "
        "way, or say in your answer what could not be done."
    )
    return {"behavior": "deny", "message": said}


def place_word(permitted: Permitted, _: JSONObject) -> JSONObject:
    """The response to a `hook_callback` request: nothing to say, unless a link now stands where a directory was.

    The runtime follows its directories' names anew at each use of a tool, wherever they lead by then.
    """
    if permitted.in_place():
        return {}
    said = "Permission denied: a directory of this agent is not where it was. Stop, and say so in your answer."
    decision: JSONObject = {"permissionDecision": "deny", "permissionDecisionReason": said}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}
