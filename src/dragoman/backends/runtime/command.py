"""The runtime's command line and environment. Nothing of a request is ever on either."""

import os
from collections.abc import Mapping

from dragoman import __version__
from dragoman.backends.claude_code import installation
from dragoman.backends.runtime.options import RuntimeOptions

SERVER_NAME = "gw"
"""The name under which the client's tools are served to the runtime."""

SHARED = (
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    # No settings of the machine's or the directory's: they could allow more than the owner did, or run commands.
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--disable-slash-commands",
)
"""What every process is started with, an agent's too."""

_FLAGS = (
    *SHARED,
    "--tools",
    "",
    "--allowedTools",
    f"mcp__{SERVER_NAME}",
)
_ONE_CALL_FLAGS = ("--max-budget-usd", "0.0000001")

_MARGIN = 60.0


def arguments(*, one_call: bool = False) -> tuple[str, ...]:
    """The command line behind the executable.

    Args:
        one_call: The process makes a single API call and is spent then.
    """
    return (*_FLAGS, *_ONE_CALL_FLAGS) if one_call else _FLAGS


def environment(options: RuntimeOptions, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of every runtime process."""
    return installation.environment(options, outer) | {
        "CLAUDE_AGENT_SDK_CLIENT_APP": f"dragoman/{__version__}",
        "CLAUDE_AGENT_SDK_MCP_NO_PREFIX": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        # There it would write a log of each conversation that has tools, and never take one away.
        "XDG_CACHE_HOME": os.devnull,
        # A parked call ends with its process, which the gateway ends in time.
        "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
        "MCP_TOOL_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
