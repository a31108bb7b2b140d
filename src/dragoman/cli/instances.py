"""The registry of running gateways: one file for each gateway in a state directory. A file holds no secret.

A gateway holds a lock on its file while it runs. The operating system releases the lock when the process ends, however
it ends. So a file without a lock is stale, and no process id has to be trusted.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import psutil

from dragoman import __version__
from dragoman.core.process_identity import ProcessIdentity

_MAX_OLD_OUTPUTS = 5
"""How many output files of ended gateways are kept for troubleshooting."""
_MAX_OUTPUT_LINES = 20


class InstanceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One running gateway.

    Attributes:
        host: The address it listens on.
        port: The port it listens on. The actual port if 0 was requested.
        pid: Its process id.
        began: When the process started. Tells it apart from a later process with the same id.
        since: When it started to listen, as a Unix timestamp.
        grace: Seconds that running requests get to finish when it stops.
        arguments: The flags it was started with, without secrets.
        directory: Its working directory.
        version: Its version.
        log: Its log file, if any.
        output: The file that receives its standard output, if it runs in the background.
        key_file: The file that holds its API key, if any.
    """

    host: str
    port: int
    grace: float
    arguments: tuple[str, ...]
    pid: int = msgspec.field(default_factory=os.getpid)
    began: float = msgspec.field(default_factory=lambda: ProcessIdentity.current().started_at)
    since: float = msgspec.field(default_factory=time.time)
    directory: str = msgspec.field(default_factory=os.getcwd)
    version: str = __version__
    log: str | None = None
    output: str | None = None
    key_file: str | None = None

    @property
    def address(self) -> str:
        """The URL for programs on this machine."""
        return format_url(connect_host(self.host), self.port)

    @property
    def background(self) -> bool:
        """Whether it runs in the background."""
        return self.output is not None

    def process(self) -> psutil.Process | None:
        """Return its process, or None if it has ended."""
        return ProcessIdentity(self.pid, self.began).process()


def connect_host(host: str) -> str:
    """Return the address to connect to for a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def format_url(host: str, port: int) -> str:
    """Return the URL of a gateway."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def last_output(path: Path | str) -> str:
    """Return the last lines of an output file."""
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_MAX_OUTPUT_LINES:])


class AlreadyRunning(click.ClickException):
    """Another gateway has the port. The exit code tells service managers not to try again."""

    exit_code = 3

    @classmethod
    def at(cls, other: InstanceRecord) -> "AlreadyRunning":
        """Return the error for the gateway that has the port."""
        return cls(
            f"A gateway is already running at {other.address} (pid {other.pid}). Stop it with `dragoman stop`, restart "
            f"it with `dragoman restart`, or start another one with `dragoman serve --port {other.port + 1}`."
        )


class InstanceRegistry:
    """The running gateways of one state directory.

    Args:
        state_dir: The state directory. Created on the first write.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir.expanduser() / "gateways"

    @contextmanager
    def startup_lock(self) -> Iterator[None]:
        """Hold the lock for binding a port and registering. A second gateway waits here, and then sees the first."""
        self._create_folder()
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.running()  # deletes what killed gateways left
            for draft in self._folder.glob("*.draft"):
                draft.unlink(missing_ok=True)  # of one that was killed while it held this lock
            yield

    @contextmanager
    def register(self, record: InstanceRecord) -> Iterator[None]:
        """List this gateway until the context ends."""
        self._create_folder()
        path = self._folder / f"{secrets.token_hex(8)}.json"
        draft = path.with_suffix(".draft")
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123 - a mode
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(msgspec.json.encode(record))
            file.flush()
            draft.rename(path)  # the lock moves with the file, so the final name never exists without its lock
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def running(self) -> list[InstanceRecord]:
        """Return the running gateways, oldest first. Delete stale files."""
        records = [record for path in self._folder.glob("*.json") if (record := self._check(path))]
        self._prune_outputs({record.output for record in records})
        return sorted(records, key=lambda record: record.since)

    def at(self, host: str, port: int) -> InstanceRecord | None:
        """Return the gateway that listens on this port, preferably on this host."""
        matches = [record for record in self.running() if record.port == port]
        return next((record for record in matches if record.host == host), matches[0] if matches else None)

    def new_output(self) -> Path:
        """Return a path for the output of a gateway in the background."""
        self._create_folder()
        return self._folder / f"{secrets.token_hex(8)}.out"

    def _create_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _check(self, path: Path) -> InstanceRecord | None:
        """Return the record of a running gateway. Delete the file of an ended one."""
        try:
            record = msgspec.json.decode(path.read_bytes(), type=InstanceRecord)
        except (OSError, msgspec.DecodeError):
            record = None  # removed in the meantime, or written by an incompatible version
        if _is_locked(path):
            return record
        path.unlink(missing_ok=True)
        return None

    def _prune_outputs(self, used: set[str | None]) -> None:
        unused = [path for path in self._folder.glob("*.out") if str(path) not in used]
        for path in sorted(unused, key=_modified_at, reverse=True)[_MAX_OLD_OUTPUTS:]:
            path.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    """Return whether a gateway holds the lock. Tries a shared lock, so two commands do not see each other's."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _modified_at(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
