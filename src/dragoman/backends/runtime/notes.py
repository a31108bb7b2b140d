"""What the runtime notes of each of its processes while it runs: files whose names begin with the process's id.

A process that ends by itself takes its notes away; one that is killed cannot, and would leave files for each run.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil


class Notes:
    """The notes of the processes that have this environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        config = environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME", "")) / ".claude"
        self._folder = Path(config) / "sessions"

    def remove(self, pid: int) -> None:
        """Take away the notes of a process of ours that is gone."""
        for note in self._folder.glob(f"{pid}.*"):
            _remove(note)

    def sweep(self) -> None:
        """Take away the notes of all processes that are gone, as a gateway that was killed leaves them."""
        for note in self._folder.glob("*.*"):
            pid = note.name.partition(".")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                _remove(note)


def _remove(note: Path) -> None:
    with contextlib.suppress(OSError):
        note.unlink()
