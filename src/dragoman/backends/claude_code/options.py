"""What the runtime backend is built from.

What passes between us and a runtime process, for the log at debug and trace.
"""

from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.message_reader import without_deltas
from dragoman.core.messages import JSONObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeCodeOptions:
    """Settings of the runtime backend.

    Attributes:
        state_dir: A directory of ours; scratch home, configuration and working directories are made in it.
        command: The `claude` executable; None: the one that `claude-agent-sdk` carries.
        api_key: The Messages API key that the runtime uses; unused with `signed_in`.
        base_url: Where the runtime finds the Messages API; None: its own default.
        signed_in: Use the owner's own Claude Code sign-in instead of a key.
        config_dir: The runtime's `CLAUDE_CONFIG_DIR`; None: a scratch one, or with `signed_in` its own default.
        default_model: The id of the model that is most likely to be asked for; with `signed_in`, spares are booted
            for it.
        spares: Processes kept booted for requests to come.
        max_live: Idle processes kept, each with the conversation it holds.
        live_ttl: Seconds an idle conversation is kept.
        parked_ttl: Seconds a tool call waits for the client's result.
        max_memory: Resident bytes of all idle conversations together; past it the oldest go.
        retries: How often the runtime itself asks again after a failure.
        silence: Seconds without a sign of life from the model after which a run is given up.
        trace: Log every message of the runtime.
        boot_timeout: Seconds a process may take to answer its first control request.
        agents: What agents may do.
    """

    state_dir: Path
    command: Path | None = None
    api_key: str | None = None
    base_url: str | None = None
    signed_in: bool = False
    config_dir: Path | None = None
    default_model: str = "claude-sonnet-5-5"
    spares: int = 2
    max_live: int = 8
    live_ttl: float = 600.0
    parked_ttl: float = 600.0
    max_memory: int = 4 * 1024**3
    retries: int = 2
    silence: float = 300.0
    trace: bool = False
    boot_timeout: float = 60.0
    agents: AgentRules = field(default_factory=AgentRules)


log = structlog.get_logger("dragoman.runtime")


def trace_process(process: ChildProcess) -> None:
    """Log all that it says from now on. Its reader must have been set before."""
    read = process.on_frame

    def read_aloud(frame: JSONObject) -> None:
        log.debug("runtime.message", level="trace", pid=process.pid, frame=without_deltas(frame))
        read(frame)

    process.on_frame = read_aloud


def log_start(process: ChildProcess, argv: list[str]) -> None:
    """Log a start, and what the process will write to stderr. Its environment, which holds the key, is not logged."""
    log.debug("runtime.started", pid=process.pid, argv=argv)
    process.on_stderr = lambda lines: log.debug("runtime.stderr", pid=process.pid, lines=lines)
