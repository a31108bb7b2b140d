"""The settings of the Claude Code backend."""

from dataclasses import field
from pathlib import Path

from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.core.value_object import value_object


@value_object(kw_only=True)
class ClaudeCodeOptions:
    """Settings of the Claude Code backend.

    Attributes:
        state_dir: The gateway's own directory. It gets a scratch home, configuration and working directories.
        command: The `claude` executable; None for the one in `claude-agent-sdk`.
        api_key: The Messages API key that the runtime uses. Unused with `signed_in`.
        base_url: The address of the Messages API; None for the runtime's default.
        signed_in: Use the operator's own Claude Code sign-in, not a key.
        config_dir: The runtime's `CLAUDE_CONFIG_DIR`; None for a scratch one, or with `signed_in` for its default.
        default_model: The id of the model that most requests use. With `signed_in`, warm processes are booted for it.
        warm_processes: The number of warm processes.
        long_processes: The number of further warm processes, for long conversations.
        max_live: The most live processes. Each holds the conversation of its last request.
        live_ttl: Seconds that a live process is kept after its last response.
        parked_ttl: Seconds that a tool call waits for the client's result.
        max_memory: Resident bytes of all live processes together. Above that, the least recently used end.
        retries: How often the runtime calls the API again after a failure.
        silence: Seconds without a frame from the runtime after which a run fails.
        trace: Log every frame of the runtime.
        boot_timeout: Seconds in which a process must answer its first control request.
        agents: What agents may do.
    """

    state_dir: Path
    command: Path | None = None
    api_key: str | None = None
    base_url: str | None = None
    signed_in: bool = False
    config_dir: Path | None = None
    default_model: str = "claude-sonnet-5-5"
    warm_processes: int = 2
    long_processes: int = 1
    max_live: int = 8
    live_ttl: float = 600.0
    parked_ttl: float = 600.0
    max_memory: int = 4 * 1024**3
    retries: int = 2
    silence: float = 300.0
    trace: bool = False
    boot_timeout: float = 60.0
    agents: AgentRules = field(default_factory=AgentRules)
