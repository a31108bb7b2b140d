"""What the command-line backend is built from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Keep: TypeAlias = Literal["failed", "all", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaudeCliOptions:
    """Settings of the command-line backend; an `Installation`.

    Attributes:
        state_dir: A directory of ours; scratch home, configuration and working directories are made in it.
        command: The `claude` executable; None: the one that `claude-agent-sdk` carries.
        api_key: The Messages API key that it uses; unused with `signed_in`.
        base_url: Where it finds the Messages API; None: its own default.
        signed_in: Use the owner's own Claude Code sign-in instead of a key.
        config_dir: Its `CLAUDE_CONFIG_DIR`; None: a scratch one, or with `signed_in` its own default.
        retries: How often it asks the API again after a failure.
        silence: Seconds without a sign of life after which a run is given up.
        keep: Of which runs the output is kept.
        keep_for: Seconds that it is kept.
        keep_most: Runs whose output is kept at most.
    """

    state_dir: Path
    command: Path | None = None
    api_key: str | None = None
    base_url: str | None = None
    signed_in: bool = False
    config_dir: Path | None = None
    retries: int = 2
    silence: float = 300.0
    keep: Keep = "failed"
    keep_for: float = 604_800.0
    keep_most: int = 100
