"""What a running gateway leaves for others to find it by. Holds no secret.

Finding the gateways of a state directory, whatever became of those before.

Each has a file, and holds a lock on it for as long as it lives: the system lets go of it however the process ends. So a
file without its lock is stale, and no number of a process need be believed.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from dragoman import __version__
from dragoman.core.process_identity import ProcessIdentity


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway.

    Attributes:
        host: The address it listens on.
        port: The port, the real one where a free one was asked for.
        pid: Its process.
        began: When that process began, by which a process that got its number later is told from it.
        since: When it listened, in seconds since 1970.
        grace: Seconds that running answers have to end when it stops.
        arguments: What it was started with, without secrets.
        directory: Where it was started.
        version: Which version of the gateway it is.
        log: Its log, where that is a file.
        output: What it prints, where that is a file: it runs in the background.
        key_file: The file with its key, if it has its key from a file.
    """

    host: str
    port: int
    grace: float
    arguments: tuple[str, ...]
    pid: int = msgspec.field(default_factory=os.getpid)
    began: float = msgspec.field(default_factory=lambda: ProcessIdentity.ours().began)
    since: float = msgspec.field(default_factory=time.time)
    directory: str = msgspec.field(default_factory=os.getcwd)
    version: str = __version__
    log: str | None = None
    output: str | None = None
    key_file: str | None = None

    @property
    def address(self) -> str:
        """Where programs of this machine reach it."""
        host = reachable(self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def background(self) -> bool:
        """Whether no terminal belongs to it."""
        return self.output is not None

    def process(self) -> psutil.Process | None:
        """Its process; none if that has ended, even where another has its number by now."""
        return ProcessIdentity(self.pid, self.began).process()


def reachable(host: str) -> str:
    """The address to connect to, where one listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def read(path: Path) -> InstanceRecord | None:
    """The record in a file, if it is one that this version understands."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=InstanceRecord)
    except (OSError, msgspec.DecodeError):
        return None


_LAST_WORDS = 5
"""Outputs of gateways that are gone which are kept, for whoever wants to know why."""


class InstanceRegistry:
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
    def entered(self, record: InstanceRecord) -> Iterator[None]:
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

    def running(self) -> list[InstanceRecord]:
        """All that run, the oldest first. Files of others are cleared away."""
        found = [record for path in self._folder.glob("*.json") if (record := self._examine(path))]
        self._prune({record.output for record in found})
        return sorted(found, key=lambda record: record.since)

    def at(self, host: str, port: int) -> InstanceRecord | None:
        """The one that has this port."""
        mine = [record for record in self.running() if record.port == port]
        return next((record for record in mine if record.host == host), mine[0] if mine else None)

    def output(self) -> Path:
        """A new file for what a gateway in the background prints."""
        self._make()
        return self._folder / f"{secrets.token_hex(8)}.out"

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _examine(self, path: Path) -> InstanceRecord | None:
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
