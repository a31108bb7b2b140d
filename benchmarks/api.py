"""Compare the backend `api` with its peers in one run: `make bench-api`.

All use the same scripted Messages API, each in one process on a core of its own. The scripted API and the load
generator have the other core. A measurement without a gateway between them gives the upper limit. Workloads and
contenders take turns in random order. Compare medians and ratios, not the figures of one machine. Peers that are not
installed are skipped. With all of them it takes eight minutes.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import api_contenders as contenders
import api_processes as processes
from api_bodies import CHUNKS, PIECE, SERIAL, Dialect, agent, plain, streamed
from api_contenders import FOLDER, PEERS, Peer, version_of
from api_load import Job
from api_processes import Load, Process, WrongResponseError
from api_table import Sample, Samples, table

OWN = ("direct", "dragoman")
"""The contenders that must not fail."""

_MAX_SECONDS = 1200
_WARM_UP_SECONDS = 0.3
_FEW_CHUNKS = 8
_PACE_MS = 20
_MARKS: dict[Dialect, dict[bool, bytes]] = {
    "anthropic": {False: b"Baikal", True: b'"text":" lake'},
    "openai": {False: b"Baikal", True: b'"content":" lake'},
}


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of requests.

    Attributes:
        name: The name of its samples.
        request: Builds the request.
        connections: How many connections send requests.
        chunks: Text chunks of a streamed response; 0 without a stream.
        serial: Digits that differ in each request; see `api_load.Job`.
    """

    name: str
    request: Callable[[Dialect], bytes]
    connections: int
    chunks: int = 0
    serial: bytes = b""


_WORKLOADS = (
    Workload("1", plain, 1),
    Workload("16", plain, 16),
    Workload("64", plain, 64),
    Workload("large", agent, 16),
    Workload("new", agent, 16, serial=SERIAL),
    Workload("first", lambda dialect: streamed(dialect, _FEW_CHUNKS), 1, _FEW_CHUNKS),
    Workload("chunks", streamed, 50, CHUNKS),
    Workload("paced", lambda dialect: streamed(dialect, CHUNKS, _PACE_MS), 50, CHUNKS),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """A process that is measured, and how."""

    name: str
    dialect: Dialect
    process: Process
    seconds: float
    headers: bytes = b""

    def request(self, workload: Workload) -> bytes:
        """Return the request of a workload, with this contender's own headers."""
        line, rest = workload.request(self.dialect).split(b"\r\n", 1)
        return line + b"\r\n" + self.headers + rest


class Bench:
    """Measures contenders, and collects the samples."""

    def __init__(self, load: Load, api: Process) -> None:
        self.samples = Samples()
        self.failed: dict[tuple[str, str], str] = {}
        self._load = load
        self._api = api

    def measure(self, workload: Workload, contender: Contender, *, counted: bool = True) -> None:
        """Send requests for about a second. A warm-up is not counted.

        A peer that fails in its warm-up is not measured. A turn in which it fails later is left out.
        """
        if (contender.name, workload.name) in self.failed:
            return
        mark = _MARKS[contender.dialect][bool(workload.chunks)]
        request, seconds = contender.request(workload), contender.seconds if counted else _WARM_UP_SECONDS
        job = Job(
            contender.process.port,
            request,
            mark,
            workload.connections,
            seconds,
            PIECE,
            workload.chunks,
            workload.serial,
        )
        before = self._cpu_seconds(contender)
        try:
            outcome = self._load.run(job)
        except WrongResponseError as error:
            if contender.name in OWN:
                raise
            if counted:
                print(f"{contender.name} failed in a turn of `{workload.name}`: {error}", file=sys.stderr, flush=True)
            else:
                self.failed[contender.name, workload.name] = str(error)
            return
        cpu, harness = (after - start for after, start in zip(self._cpu_seconds(contender), before, strict=True))
        memory = contender.process.memory()
        if counted:
            self.samples.add(contender.name, workload.name, Sample(outcome, cpu, harness, memory, workload.chunks))

    def _cpu_seconds(self, contender: Contender) -> tuple[float, float]:
        return contender.process.cpu(), self._api.cpu() + self._load.process.cpu()

    def round(self, contenders: list[Contender], *, counted: bool = True) -> None:
        """Measure every workload with every contender, in random order."""
        pairs = [(workload, contender) for workload in _WORKLOADS for contender in contenders]
        for workload, contender in random.sample(pairs, len(pairs)):
            self.measure(workload, contender, counted=counted)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="how often each workload is measured (4)")
    parser.add_argument("--starts", type=int, default=3, help="how often each gateway is started (3)")
    parser.add_argument("--dragoman", type=Path, default=Path(sys.executable).with_name("dragoman"), help="the command")
    parser.add_argument("--install", action="store_true", help="install LiteLLM and Portkey if they are missing")
    parser.add_argument("--only", nargs="*", help="names of peers; default: all that are installed")
    options = parser.parse_args()
    peers = _peers(options)
    signal.signal(signal.SIGALRM, _on_timeout)
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.alarm(_MAX_SECONDS)
    os.sched_setaffinity(0, processes.HARNESS_CORES)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True)))
        api = stack.enter_context(processes.scripted())
        bench = Bench(stack.enter_context(processes.load_generator()), api)

        def ours(name: str) -> AbstractContextManager[Process]:
            return contenders.dragoman(home / name, api, options.dragoman)

        process = _started(stack, bench, "dragoman", ours, options.starts)
        measured = [Contender("direct", "anthropic", api, 0.7), Contender("dragoman", "openai", process, 1.0)]
        for peer in peers:

            def theirs(name: str, peer: Peer = peer) -> AbstractContextManager[Process]:
                return peer.start(home / name, api, peer.command)

            process = _started(stack, bench, peer.name, theirs, options.starts)
            headers = peer.headers.format(api=api.port).encode()
            measured.append(Contender(peer.name, peer.dialect, process, 1.0, headers))
        bench.round(measured, counted=False)
        for _ in range(options.rounds):
            bench.round(measured)
    for (name, workload), reason in bench.failed.items():
        print(f"{name} fails at the workload `{workload}`: {reason}", file=sys.stderr)
    print(table(bench.samples, options.rounds, {peer.name: version_of(peer) for peer in peers}))


def _peers(options: argparse.Namespace) -> list[Peer]:
    """Return the peers that can be measured, and say how the others are installed."""
    chosen = [peer for peer in PEERS if options.only is None or peer.name in options.only]
    for peer in chosen:
        if options.install and not peer.is_installed() and not peer.install.startswith("apt-get"):
            subprocess.run(peer.install, shell=True, check=True, cwd=FOLDER.parent)  # noqa: S602 - our own command
        if not peer.is_installed():
            print(f"{peer.name} is not installed and is skipped: {peer.install}", file=sys.stderr)
    return [peer for peer in chosen if peer.is_installed()]


def _started(
    stack: ExitStack,
    bench: Bench,
    name: str,
    start: Callable[[str], AbstractContextManager[Process]],
    starts: int,
) -> Process:
    """Start a gateway several times to measure its start. Return the last process."""
    folder = name.replace(" ", "-")
    for number in range(starts - 1):
        with start(f"{folder}-{number}") as process:
            bench.samples.started(name, process)
    process = stack.enter_context(start(folder))
    bench.samples.started(name, process)
    return process


def _on_timeout(*_: object) -> None:
    raise SystemExit(f"The benchmark takes longer than {_MAX_SECONDS} seconds.")


def _on_sigterm(*_: object) -> None:
    raise SystemExit("Terminated.")  # an exception, so that the processes are terminated


if __name__ == "__main__":
    main()
