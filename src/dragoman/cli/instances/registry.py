"""Finding the gateways of a state directory, whatever became of those before.

Each has a file, and holds a lock on it for as long as it lives: the system lets go of it however the process ends. So a
file without its lock is stale, and no number of a process need be believed.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dragoman.cli.instances.record import Record, read

_LAST_WORDS = 5
"""Outputs of gateways that are gone which are kept, for whoever wants to know why."""


class Registry:
    """The gateways of one state directory.

    Args:
        state_dir: The gateway's directory; made when something is entered.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir.expanduser() / "gateways"

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Take the port and enter yourself within this: one that starts meanwhile waits, and then finds you."""
        self._make()
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def entered(self, record: Record) -> Iterator[None]:
        """Be found by others until the end."""
        self._make()
        path = self._folder / f"{secrets.token_hex(8)}.json"
        draft = path.with_suffix(".draft")
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123 - a mode
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(msgspec.json.encode(record))
            file.flush()
            draft.rename(path)  # the lock goes with it: nobody ever sees the name without the lock
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def running(self) -> list[Record]:
        """All that run, the oldest first. Files of others are cleared away."""
        found = [record for path in self._folder.glob("*.json") if (record := self._examine(path))]
        self._prune({record.output for record in found})
        return sorted(found, key=lambda record: record.since)

    def at(self, host: str, port: int) -> Record | None:
        """The one that has this port."""
        mine = [record for record in self.running() if record.port == port]
        return next((record for record in mine if record.host == host), mine[0] if mine else None)

    def output(self) -> Path:
        """A new file for what a gateway in the background prints."""
        self._make()
        return self._folder / f"{secrets.token_hex(8)}.out"

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _examine(self, path: Path) -> Record | None:
        record = read(path)
        if _is_held(path):
            return record
        path.unlink(missing_ok=True)
        return None

    def _prune(self, outputs: set[str | None]) -> None:
        old = [path for path in self._folder.glob("*.out") if str(path) not in outputs]
        for path in sorted(old, key=_age, reverse=True)[_LAST_WORDS:]:
            path.unlink(missing_ok=True)


def _is_held(path: Path) -> bool:
    """Whether somebody holds the lock; shared, so that two who look at once do not take each other for him."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
