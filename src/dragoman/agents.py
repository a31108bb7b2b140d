"""What a client asks of an agent: Claude at work with tools of its own, in a directory of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """A wish for an agent, as the client wrote it. Nothing of it is allowed before a backend has checked it.

    Attributes:
        working_directory: Where it works; None: where the owner lets agents work, if that is one directory.
        permission_mode: What it may do without being asked.
        tools: Names of the tools that it has; None: the usual ones.
        add_dirs: Further directories that it may use.
        mcp_servers: Servers of further tools, by name, as the Model Context Protocol's configuration files hold them.
        max_turns: The most rounds of calling tools; None: no limit.
        max_budget_usd: The most it may cost; None: what the owner lets it.
    """

    working_directory: str | None = None
    permission_mode: str = "default"
    tools: tuple[str, ...] | None = None
    add_dirs: tuple[str, ...] = ()
    mcp_servers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    max_turns: int | None = None
    max_budget_usd: float | None = None
