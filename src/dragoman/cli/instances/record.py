"""What a running gateway leaves for others to find it by. Holds no secret."""

import os
import time
from pathlib import Path

import msgspec
import psutil

from dragoman import __version__
from dragoman.lifetimes import Lifetime


class Record(msgspec.Struct, frozen=True, kw_only=True):
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
    began: float = msgspec.field(default_factory=lambda: Lifetime.ours().began)
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
        return Lifetime(self.pid, self.began).process()


def reachable(host: str) -> str:
    """The address to connect to, where one listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def read(path: Path) -> Record | None:
    """The record in a file, if it is one that this version understands."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
