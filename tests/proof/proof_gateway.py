"""The gateway under proof, in a process of its own: start, kill, count what it holds, and read its log."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from free_ports import free_port
from proof_client import send
from proof_faults import API_KEY
from proof_message import Object

_COMMAND = str(Path(sys.executable).with_name("dragoman"))
_BOOT_SECONDS = 60.0
_IDLE_SECONDS = 90.0
_POLL_SECONDS = 0.1
_LOG_SECONDS = 0.3
_MEBIBYTE = 2**20
_MAX_MEMORY_RATIO = 1.10
_STARTED = ("PATH", "LANG")
_RUN = re.compile(r"run_[0-9a-f]{32}")


class DidNotStart(Exception):  # noqa: N818 - named by what happened
    """The gateway did not start. The text is what it printed."""


@dataclass(frozen=True)
class Counts:
    """What a gateway holds while it is idle.

    Attributes:
        processes: Living children, with their own.
        descriptors: Open file descriptors, without idle connections to the API.
        tasks: Tasks of the event loop.
        files: Files in its home directory, with temporary ones.
        slots: Runs that hold a slot or wait for one.
        memory: Resident MiB.
    """

    processes: int
    descriptors: int
    tasks: int
    files: int
    slots: int
    memory: float

    def highest(self, later: "Counts") -> "Counts":
        """Return the higher of each count, and the later memory.

        An idle gateway does not always hold the same: each process of the runtime has three descriptors and a file, and
        one that waits for a transcript has one descriptor more.
        """
        higher = {name: max(count, getattr(later, name)) for name, count in vars(self).items()}
        return Counts(**{**higher, "memory": later.memory})

    def exceeded(self, start: "Counts") -> list[str]:
        """Return the names of the counts that are higher than at the start. Memory may grow by a tenth."""
        now, before = vars(self), vars(start)
        more = [name for name in now if name != "memory" and now[name] > before[name]]
        return more if self.memory <= _MAX_MEMORY_RATIO * start.memory else [*more, "memory"]


@dataclass
class ProvedGateway:
    """A gateway.

    Args:
        home: Its home directory, which is created.
        api: The address of the API.
        flags: The flags of `dragoman serve`.
        variables: Further environment variables.

    Attributes:
        port: Its port on 127.0.0.1, the same after each restart.
        disturbed_at: When it was last disturbed: it, or one of its processes, was killed or started again.
        is_up: Set while it listens.
        killed_at: When it was killed.
    """

    home: Path
    api: str
    flags: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    disturbed_at: float = -1.0
    is_up: asyncio.Event = field(default_factory=asyncio.Event)
    killed_at: list[float] = field(default_factory=list)
    process: "subprocess.Popen[bytes] | None" = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it. It is terminated at the end, and killed if that does not help."""
        self.start()
        try:
            yield
        finally:
            process = self._process
            process.terminate()
            try:
                process.wait(_BOOT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> None:
        """Start it, and wait until it listens.

        Raises:
            DidNotStart: It ended, or does not listen.
        """
        self._boot()
        self.is_up.set()

    def _boot(self) -> None:
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        inherited = {name: os.environ[name] for name in _STARTED if name in os.environ}
        folders = {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home), "TMPDIR": str(self.home / "tmp")}
        account = {"ANTHROPIC_BASE_URL": self.api, "ANTHROPIC_API_KEY": API_KEY}
        with (self.home / "printed").open("ab") as printed:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [_COMMAND, "serve", "-p", str(self.port), "-q", "--log-file", str(self.log), *self.flags],
                env={**inherited, **folders, **account, **self.variables},
                cwd=self.home,
                stdout=printed,
                stderr=printed,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not _is_listening(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart((self.home / "printed").read_text()[-2000:])
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.is_up.clear()
        self.killed_at.append(time.monotonic())
        self._process.kill()
        self._process.wait()

    async def restart(self) -> None:
        """Kill it, and start it again on the same port."""
        self.kill()
        await asyncio.to_thread(self._boot)
        self.disturbed_at = time.monotonic()
        self.is_up.set()

    def kill_runtime(self, choose: Callable[[list[int]], int]) -> None:
        """Kill one of its runtime processes. A pidfd is used, because a process id can be reused."""
        pids = sorted(child.pid for child in psutil.Process(self._process.pid).children() if _is_runtime(child))
        if not pids:
            return
        self.disturbed_at = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(choose(pids))
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    def has_lost_log_of(self, end: float) -> bool:
        """Return whether it was killed so soon after a time that the log may lack lines of that time."""
        return any(0 <= killed - end < _LOG_SECONDS for killed in self.killed_at)

    def was_disturbed_since(self, start: float) -> bool:
        """Return whether it was disturbed since a time of `time.monotonic`, or is down now."""
        return not self.is_up.is_set() or self.disturbed_at >= start

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.home / "gateway.log"

    @property
    def _process(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None  # it was started
        return self.process

    async def count_when_idle(self, start: Counts | None = None) -> Counts:
        """Return the counts when nothing runs and none exceeds the start, or after a time limit."""
        deadline = time.monotonic() + _IDLE_SECONDS
        while True:
            counts = await self._count()
            is_idle = counts.slots == 0 and (start is None or not counts.exceeded(start))
            if is_idle or time.monotonic() > deadline:
                return counts
            await asyncio.sleep(_POLL_SECONDS)

    async def _count(self) -> Counts:
        metrics = (await send(self.port, "GET", "/metrics")).body.decode()
        state = (await send(self.port, "GET", "/health/ready")).json()
        connections = state["backend"].get("connections", {"idle": 0})  # kept for the next requests
        process = psutil.Process(self._process.pid)
        return Counts(
            processes=len(process.children(recursive=True)),
            # psutil may not read them: `/proc` is closed.
            descriptors=_metric(metrics, "process_open_fds") - connections["idle"],
            tasks=_metric(metrics, "dragoman_tasks"),
            files=sum(1 for path in self.home.rglob("*") if path.is_file()),
            slots=sum(state["runs"].values()),
            memory=process.memory_info().rss / _MEBIBYTE,
        )


def _metric(metrics: str, name: str) -> int:
    return next(int(float(line.split()[1])) for line in metrics.splitlines() if line.startswith(f"{name} "))


@dataclass
class LogSummary:
    """What a gateway's log says.

    Attributes:
        runs_of: The ids of the runs of each request that have ended.
        retries_of: The counted retries of each run that ended.
        cancelled: The runs that were cancelled, maybe before they made a call.
        broken: Lines with a traceback.
    """

    runs_of: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    retries_of: dict[str, int] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def read_log(path: Path) -> LogSummary:
    """Read a log, with its rotated files. A line that a kill cut is skipped."""
    summary = LogSummary()
    for file in sorted(path.parent.glob(f"{path.name}*")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry: Object = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == "run.end":
                summary.runs_of[entry["request"]].append(entry["run"])
                summary.retries_of[entry["run"]] = entry.get("retries") or 0
                summary.cancelled |= {entry["run"]} if entry["status"] == "cancelled" else set()
            if "Traceback" in line or entry.get("level") == "error":
                summary.broken.append(line[:2000])
    return summary


def lines_about(log: Path, text: str) -> Iterator[str]:
    """Yield the lines of a log that contain a text, and those about the runs that these name."""
    lines = [line for file in sorted(log.parent.glob(f"{log.name}*")) for line in file.read_text("utf-8").splitlines()]
    runs = {run for line in lines if text in line for run in _RUN.findall(line)}
    yield from (line for line in lines if text in line or runs.intersection(_RUN.findall(line)))


def _is_runtime(process: psutil.Process) -> bool:
    try:
        return "--input-format" in process.cmdline()
    except psutil.Error:
        return False


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
