"""The settings of the command-line backend."""

from pathlib import Path
from typing import Literal, TypeAlias

from dragoman.core.value_object import value_object

KeepOutput: TypeAlias = Literal["failed", "all", "off"]


@value_object(kw_only=True)
class ClaudeCliOptions:
    """Settings of the command-line backend; an `Installation`.

    Attributes:
        state_dir: The gateway's own directory. It gets a scratch home, configuration and working directories.
        command: The `claude` executable; None for the one in `claude-agent-sdk`, or the one on the path.
        api_key: The Messages API key. Unused with `signed_in`.
        base_url: The address of the Messages API; None for the default.
        signed_in: Whether the operator's own Claude Code sign-in is used instead of a key.
        config_dir: The `CLAUDE_CONFIG_DIR`; None for a scratch one, or with `signed_in` for its default.
        retries: How often Claude Code calls the API again after a failure.
        silence: Seconds without output after which a run fails.
        keep: Which runs' output is kept in files.
        keep_for: Seconds that it is kept.
        keep_most: The maximum number of runs whose output is kept.
    """

    state_dir: Path
    command: Path | None = None
    api_key: str | None = None
    base_url: str | None = None
    signed_in: bool = False
    config_dir: Path | None = None
    retries: int = 2
    silence: float = 300.0
    keep: KeepOutput = "failed"
    keep_for: float = 604_800.0
    keep_most: int = 100
