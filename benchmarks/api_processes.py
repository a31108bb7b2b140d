"""Start the measured processes, each on its own core, and read their processor time and memory from /proc."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec

from api_load import Job, Outcome
from servers import children_of

_HERE = Path(__file__).parent
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MEBIBYTE = 2**20
_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.004
_TERMINATE_SECONDS = 15.0

_CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE = _CORES[0]
"""The core of the measured gateway."""
HARNESS_CORES = set(_CORES[1:3]) or {GATEWAY_CORE}
"""The scripted API and the load generator have one core each, or share the second one of two."""


@dataclass
class Process:
    """A started process and its children.

    Attributes:
        pid: Its id.
        port: Its port on 127.0.0.1.
        boot: Seconds from its start to its first healthy response.
    """

    pid: int
    port: int
    boot: float = field(default=0.0)

    def cpu(self) -> float:
        """Return the seconds of processor time so far."""
        return sum(_cpu(pid) for pid in self._pids())

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        return sum(map(_pages, self._pids())) * _PAGE / _MEBIBYTE

    def _pids(self) -> list[int]:
        return [self.pid, *children_of(self.pid)]


class WrongResponseError(SystemExit):
    """A response was wrong. It ends the benchmark, unless it is caught."""


class Load:
    """The load generator."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.process = Process(process.pid, 0)

    def run(self, job: Job) -> Outcome:
        """Run a job.

        Raises:
            WrongResponseError: A response was wrong.
        """
        assert self._process.stdin is not None  # noqa: S101 - they are pipes
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        outcome = msgspec.json.decode(self._process.stdout.readline(), type=Outcome)
        if outcome.failure:
            raise WrongResponseError(
                f"{job.request.split(maxsplit=2)[1].decode()} on port {job.port}: {outcome.failure}"
            )
        return outcome


@contextmanager
def scripted() -> Iterator[Process]:
    """Start the scripted API."""
    core = {min(HARNESS_CORES)}
    with _started([sys.executable, str(_HERE / "api_scripted.py")], core, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        yield Process(process.pid, int(process.stdout.readline()))


@contextmanager
def load_generator() -> Iterator[Load]:
    """Start the load generator."""
    core = {max(HARNESS_CORES)}
    with _started(
        [sys.executable, str(_HERE / "api_load.py")], core, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Load(process)


@contextmanager
def served(
    command: Sequence[str],
    health: str,
    home: Path,
    env: Mapping[str, str],
    configure: Callable[[str], object] = lambda _: None,
) -> Iterator[Process]:
    """Start a gateway, and wait until it is healthy.

    Args:
        command: The command line. `{port}` is replaced.
        health: The path that returns 200 when the gateway is healthy.
        home: A new home directory. It contains the output in `printed`.
        env: The environment, in addition to paths.
        configure: Is called with the port before the start.
    """
    home.mkdir(parents=True)
    port = _free_port()
    configure(str(port))
    full = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": str(home), "TMPDIR": str(home), **env}
    with (home / "printed").open("wb") as printed:
        arguments = [argument.format(port=port) for argument in command]
        began = time.perf_counter()
        with _started(arguments, {GATEWAY_CORE}, stdout=printed, stderr=printed, env=full, cwd=home) as process:
            boot = _wait_until_healthy(process, port, health, began)
            yield Process(process.pid, port, boot)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, path: str, began: float) -> float:
    while time.perf_counter() - began < _TIMEOUT_SECONDS:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode} instead of serving.")
        if _status(port, path) == 200:  # noqa: PLR2004 - HTTP's own number
            return time.perf_counter() - began
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"{process.args!r} is not healthy after {_TIMEOUT_SECONDS:g} seconds.")


def _status(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


@contextmanager
def _started(command: Sequence[str], cores: set[int], **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    # A child process inherits its parent's cores.
    own_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        process: subprocess.Popen[bytes] = subprocess.Popen(command, **options)  # type: ignore[call-overload] # noqa: S603 - our own commands
    finally:
        os.sched_setaffinity(0, own_cores)
    try:
        yield process
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


def _cpu(pid: int) -> float:
    """Return the seconds of a process and of its children that ended; 0 if it has ended itself."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK
