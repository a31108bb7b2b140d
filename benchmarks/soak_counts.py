"""Count a gateway's processes, file descriptors, tasks, files and memory."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servers import Served, children_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEBIBYTE = 2**20
_POLL_SECONDS = 0.25
_MAX_MEMORY_RATIO = 1.10


@dataclass(frozen=True)
class Counts:
    """The counts.

    Attributes:
        processes: Living children.
        descriptors: Open file descriptors.
        tasks: Tasks of the event loop.
        files: Files in the gateway's home directory, with temporary ones.
        memory: Resident MiB.
    """

    processes: int
    descriptors: int
    tasks: int
    files: int
    memory: float

    def exceeded(self, start: "Counts") -> list[str]:
        """Return the names of the counts that are higher than at the start. Memory may grow by a tenth."""
        now, before = vars(self), vars(start)
        more = [name for name in now if name != "memory" and now[name] > before[name]]
        return more if self.memory <= _MAX_MEMORY_RATIO * start.memory else [*more, "memory"]


def count(gateway: Served, home: Path) -> Counts:
    """Return the counts now."""
    return Counts(
        processes=len(list(children_of(gateway.pid))),
        descriptors=_metric(gateway, "process_open_fds"),  # `/proc` is closed to other processes, except for root's
        tasks=_metric(gateway, "dragoman_tasks"),
        files=len(files(home)),
        memory=int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1]) * _PAGE / _MEBIBYTE,
    )


def files(home: Path) -> set[str]:
    """Return the files in the gateway's home directory."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def count_when_idle(gateway: Served, home: Path, warm: int, timeout: float) -> Counts:
    """Return the counts when nothing runs and only warm processes remain, or after the timeout."""
    deadline = time.monotonic() + timeout
    while not _is_idle(gateway, warm) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    time.sleep(1)
    return count(gateway, home)


def count_when_released(gateway: Served, home: Path, start: Counts, timeout: float) -> Counts:
    """Return the counts when none exceeds the start, or after the timeout."""
    deadline = time.monotonic() + timeout
    while (now := count(gateway, home)).exceeded(start) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return now


def _is_idle(gateway: Served, warm: int) -> bool:
    state = _state(gateway)
    runs, processes = state["runs"], state["backend"].get("processes", {"spare": warm, "all": warm})
    return not any(runs.values()) and processes["spare"] == processes["all"] == warm


def _state(gateway: Served) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    return json.loads(_get(gateway, "/health/ready"))  # type: ignore[no-any-return]


def _metric(gateway: Served, name: str) -> int:
    lines = _get(gateway, "/metrics").decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(f"{name} "))


def _get(gateway: Served, path: str) -> bytes:
    connection = gateway.connect()
    try:
        connection.request("GET", path, headers={"connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()
