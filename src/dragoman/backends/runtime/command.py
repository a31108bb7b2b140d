"""The runtime's command line and environment. Nothing of a request is ever on either."""

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from dragoman import __version__
from dragoman.backends.runtime.options import RuntimeOptions
from dragoman.errors import UpstreamFailed

SERVER_NAME = "gw"
"""The name under which the client's tools are served to the runtime."""

_FLAGS = (
    "--output-format",
    "stream-json",
    "--input-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--tools",
    "",
    "--setting-sources=",
    "--strict-mcp-config",
    "--no-session-persistence",
    "--disable-slash-commands",
    "--allowedTools",
    f"mcp__{SERVER_NAME}",
)
_ONE_CALL_FLAGS = ("--max-budget-usd", "0.0000001")

_MARGIN = 60.0

# What a program needs of its surroundings to run and to reach the network; nothing else is inherited.
_INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
)
# What the owner's own sign-in needs besides: the home that holds it, and the documented variable for a long-lived one.
_INHERITED_SIGNED_IN = (
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "CLAUDE_CODE_OAUTH_TOKEN",
)


def locate(options: RuntimeOptions) -> Path:
    """The executable: the configured one, else the one in the `claude-agent-sdk` wheel, else `claude` on the path.

    Raises:
        UpstreamFailed: There is none.
    """
    if options.command is not None:
        return options.command
    # Found without importing it: the package costs most of a second to import.
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(folder) / "_bundled" / "claude"
        if bundled.is_file():
            return bundled
    if found := shutil.which("claude"):
        return Path(found)
    raise UpstreamFailed(
        "No Claude Code runtime was found. Reinstall `claude-agent-sdk`, or name one with `--claude-command`.",
        code="runtime_missing",
    )


def arguments(*, one_call: bool = False) -> tuple[str, ...]:
    """The command line behind the executable.

    Args:
        one_call: The process makes a single API call and is spent then.
    """
    return (*_FLAGS, *_ONE_CALL_FLAGS) if one_call else _FLAGS


def environment(options: RuntimeOptions, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of every runtime process, made from scratch."""
    names = (*_INHERITED, *_INHERITED_SIGNED_IN) if options.signed_in else _INHERITED
    made = {name: outer[name] for name in names if name in outer}
    made |= {
        "CLAUDE_AGENT_SDK_CLIENT_APP": f"dragoman/{__version__}",
        "CLAUDE_AGENT_SDK_MCP_NO_PREFIX": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(options.retries),
        # There it would write a log of each conversation that has tools, and never take one away.
        "XDG_CACHE_HOME": os.devnull,
        # A parked call ends with its process, which the gateway ends in time.
        "CLAUDE_CODE_SDK_MCP_TOOL_IDLE_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
        "MCP_TOOL_TIMEOUT": _milliseconds(options.parked_ttl + _MARGIN),
    }
    if options.base_url:
        made["ANTHROPIC_BASE_URL"] = options.base_url
    if options.signed_in:
        made["CLAUDE_CODE_DISABLE_ATTACHMENTS"] = "1"
        if options.config_dir:
            made["CLAUDE_CONFIG_DIR"] = str(options.config_dir)
    else:
        made["CLAUDE_CODE_SIMPLE"] = "1"
        made["ANTHROPIC_API_KEY"] = options.api_key or ""
        made["HOME"] = str(options.state_dir / "home")
        made["CLAUDE_CONFIG_DIR"] = str(options.config_dir or options.state_dir / "claude")
    return made


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def prepare(options: RuntimeOptions) -> Path:
    """Make our directories, for us alone, and return the empty working directory of every process."""
    work = options.state_dir / "work"
    for folder in (options.state_dir, options.state_dir / "home", options.state_dir / "claude", work):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return work
