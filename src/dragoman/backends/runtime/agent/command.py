"""An agent's command line and environment. What people write is on neither."""

import os
from collections.abc import Mapping

from dragoman.backends.runtime import command
from dragoman.backends.runtime.agent.remains import MARK
from dragoman.backends.runtime.agent.rules import AgentRules, Permitted
from dragoman.backends.runtime.agent.workshop import Workshop
from dragoman.backends.runtime.options import RuntimeOptions

_NOT_OF_AGENTS = ("CLAUDE_CODE_SIMPLE", "CLAUDE_AGENT_SDK_MCP_NO_PREFIX", "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT")
_LEAST = 0.000001
"""In dollars. Less than any call costs, and the least that is written without an exponent."""

_SANDBOX = "IS_SANDBOX"
"""By which the owner of a container says that even root may let an agent do anything."""


def arguments(permitted: Permitted, rules: AgentRules, workshop: Workshop) -> list[str]:
    """The command line behind the executable."""
    made = [
        *command.SHARED,
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
    options: RuntimeOptions, workshop: Workshop, mark: str, outer: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of an agent's process: the runtime's, and what keeps its work together."""
    made = command.environment(options, outer)
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
