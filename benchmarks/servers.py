"""Start the measured programs, each in a process of its own, without this machine's settings and accounts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

_COMMAND = str(Path(sys.executable).with_name("dragoman"))
_TIMEOUT_SECONDS = 60.0
_SETTLE_SECONDS = 0.25
_SLOTS = "8"


@dataclass(frozen=True)
class Served:
    """A listening program.

    Attributes:
        port: Its port on 127.0.0.1.
        pid: Its process id.
    """

    port: int
    pid: int

    def connect(self) -> HTTPConnection:
        """Return a new connection."""
        return HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)

    def processes(self) -> dict[str, int]:
        """Return the numbers of a gateway's runtime processes, by their state."""
        return cast("dict[str, int]", self._read("/health/ready")["backend"]["processes"])

    def count_nodes(self) -> int:
        """Return how many nodes a gateway knows, with itself."""
        return len(self._read("/admin/status")["nodes"])

    def settle(self, warm: int) -> None:
        """Wait until this many warm processes are ready."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while self.processes()["spare"] < warm and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(_SETTLE_SECONDS)

    def _read(self, path: str) -> Any:  # parsed JSON of any form
        connection = self.connect()
        connection.request("GET", path)
        state = json.loads(connection.getresponse().read())
        connection.close()
        return state

    def runtimes(self) -> set[int]:
        """Return the runtime processes of a gateway."""
        return {pid for pid in children_of(self.pid) if "--input-format" in _arguments(pid)}


def children_of(parent: int) -> Iterator[int]:
    """Yield the living children of a process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, pid = stat.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(pid) == parent and state != "Z":
            yield int(stat.parent.name)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


@contextmanager
def simulator(home: Path) -> Iterator[str]:
    """Start the simulator. Yield its address."""
    with _started(home, "simulate", "--port", "0") as (process, line):
        yield f"http://127.0.0.1:{_port_in(line)}"
        process.terminate()


@contextmanager
def scripted() -> Iterator[str]:
    """Start an API with fixed responses. Yield its address."""
    command = [sys.executable, str(Path(__file__).with_name("api_scripted.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextmanager
def gateway(
    home: Path,
    api: str,
    *,
    spares: int,
    max_live: int,
    long_spares: int = 0,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Served]:
    """Start a gateway with the real runtime and an API, optionally with more environment variables."""
    home.mkdir()
    pool = ("--spares", str(spares), "--long-spares", str(long_spares))
    limits = (*pool, "--max-live", str(max_live), "--max-concurrency", _SLOTS)
    account = {"ANTHROPIC_BASE_URL": api, "ANTHROPIC_API_KEY": "sk-ant-dummy", **more}
    with _started(home, "serve", "-p", "0", "-m", "--log-file", "log", *limits, **account) as (process, line):
        served = Served(_port_in(line), process.pid)
        served.settle(spares + long_spares)
        yield served


@contextmanager
def simulated(home: Path, *flags: str) -> Iterator[Served]:
    """Start a gateway with its own simulator. Its temporary files are in its home directory."""
    (home / "tmp").mkdir()
    given = ("--simulate", "-p", "0", "-m", "--log-file", "log", *flags)
    with _started(home, "serve", *given, TMPDIR=str(home / "tmp")) as (process, line):
        yield Served(_port_in(line), process.pid)


def _port_in(line: str) -> int:
    return int(line.split("http://127.0.0.1:")[1].split(maxsplit=1)[0].strip("/.,"))


@contextmanager
def _started(home: Path, *arguments: str, **added: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home), "PYTHONUNBUFFERED": "1", **added}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [_COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=env, cwd=home
    )
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = next(line for line in process.stdout if "http://127.0.0.1:" in line)
        yield process, line
    finally:
        process.terminate()
        process.communicate()
