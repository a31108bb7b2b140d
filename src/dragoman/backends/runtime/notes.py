"""What the runtime notes of each of its processes while it runs: files whose names begin with the process's id.

A process that ends by itself takes its notes away; one that is killed cannot, and would leave files for each run. One
that is killed while it boots may also leave a draft, which it writes before it puts a file in its place.
"""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

_DRAFT_AGE = 60.0
"""Seconds after which nobody is still writing a draft."""


class Notes:
    """The notes of the processes that have this environment.

    Args:
        environment: Of the processes.
        ours: Their configuration directory is the gateway's own. In an owner's, only the notes of our own processes are
            touched.
    """

    def __init__(self, environment: Mapping[str, str], *, ours: bool) -> None:
        config = environment.get("CLAUDE_CONFIG_DIR") or Path(environment.get("HOME", "")) / ".claude"
        self._folder = Path(config)
        self._ours = ours

    def remove(self, pid: int) -> None:
        """Take away the notes of a process of ours that is gone."""
        for names in (f"sessions/{pid}.*", f"*.tmp.{pid}.*"):
            for note in self._folder.glob(names):
                _remove(note)
        self._remove_drafts()

    def sweep(self) -> None:
        """Take away the notes of all processes that are gone, as a gateway that was killed leaves them."""
        for note in self._folder.glob("sessions/*.*") if self._ours else ():
            pid = note.name.partition(".")[0]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                _remove(note)
        self._remove_drafts()

    def _remove_drafts(self) -> None:
        for draft in self._folder.rglob("*.tmp.*") if self._ours else ():
            with contextlib.suppress(OSError):
                if draft.stat().st_mtime < time.time() - _DRAFT_AGE:
                    draft.unlink()


def _remove(note: Path) -> None:
    with contextlib.suppress(OSError):
        note.unlink()
