"""What a gateway holds at one moment: processes, file descriptors, tasks, files, memory."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servers import Served, children_of

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEBIBYTE = 2**20
_PAUSE = 0.25
_MORE_MEMORY = 1.10


@dataclass(frozen=True)
class Counts:
    """What is held.

    Attributes:
        processes: Living children.
        descriptors: Open file descriptors.
        tasks: Tasks of the event loop.
        files: Files under the gateway's home, its temporary ones included.
        memory: Resident MiB.
    """

    processes: int
    descriptors: int
    tasks: int
    files: int
    memory: float

    def missed(self, start: "Counts") -> list[str]:
        """What there is more of than at the start; memory may grow by a tenth."""
        ours, theirs = vars(self), vars(start)
        more = [name for name in ours if name != "memory" and ours[name] > theirs[name]]
        return more if self.memory <= _MORE_MEMORY * start.memory else [*more, "memory"]


def count(gateway: Served, home: Path) -> Counts:
    """Count now."""
    return Counts(
        processes=len(list(children_of(gateway.pid))),
        descriptors=sum(1 for _ in Path(f"/proc/{gateway.pid}/fd").iterdir()),
        tasks=_tasks(gateway),
        files=len(files(home)),
        memory=int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1]) * _PAGE / _MEBIBYTE,
    )


def files(home: Path) -> set[str]:
    """The files under the gateway's home."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def settled(gateway: Served, home: Path, spares: int, patience: float) -> Counts:
    """Count once nothing runs and only the spares are left, or when patience is over."""
    until = time.monotonic() + patience
    while not _idle(gateway, spares) and time.monotonic() < until:
        time.sleep(_PAUSE)
    time.sleep(1)
    return count(gateway, home)


def returned(gateway: Served, home: Path, start: Counts, patience: float) -> Counts:
    """Count again and again until nothing is more than at the start, or patience is over."""
    until = time.monotonic() + patience
    while (now := count(gateway, home)).missed(start) and time.monotonic() < until:
        time.sleep(_PAUSE)
    return now


def _idle(gateway: Served, spares: int) -> bool:
    state = _state(gateway)
    runs, processes = state["runs"], state["backend"].get("processes", {"spare": spares, "all": spares})
    return not any(runs.values()) and processes["spare"] == processes["all"] == spares


def _state(gateway: Served) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
    return json.loads(_get(gateway, "/health/ready"))  # type: ignore[no-any-return]


def _tasks(gateway: Served) -> int:
    lines = _get(gateway, "/metrics").decode().splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("dragoman_tasks "))


def _get(gateway: Served, path: str) -> bytes:
    connection = gateway.connect()
    try:
        connection.request("GET", path, headers={"connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()
