"""Ending what an agent leaves behind.

The runtime gives each command a session of its own, so they do not end with it. They are found by their parents while
these live, and by a mark in their environment, which every program passes on to those it starts.
"""

import contextlib

import psutil

MARK = "DRAGOMAN_AGENT"
"""The variable by which an agent's processes are known, whatever they have become."""

_MOST_ROUNDS = 100


def descendants(pid: int) -> list[psutil.Process]:
    """All that a process has started, and they in turn, as far as each has a living parent."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_descendants(mark: str, known: list[psutil.Process]) -> None:
    """Kill what is known, and all that carry the mark, until there are none: one may start another meanwhile.

    Blocks for as long as it takes to look through all processes a few times.
    """
    for process in known:
        _kill(process)
    for _ in range(_MOST_ROUNDS):
        if not (found := [process for process in psutil.process_iter() if _carries(process, mark)]):
            return
        for process in found:
            _kill(process)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
