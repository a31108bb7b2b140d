"""Compare the backend `api` with LiteLLM's proxy in one run: `make bench-api`.

Both use the same scripted Messages API, each in one process on a core of its own. The scripted API and the load
generator have the other core. A measurement without a gateway between them gives the upper limit. Workloads and
contenders take turns in random order. Compare medians and ratios, not the figures of one machine. It takes
three minutes.
"""

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import api_contenders as contenders
import api_processes as processes
from api_bodies import CHUNKS, PIECE, Dialect, plain, streamed
from api_load import Job
from api_processes import Load, Process
from api_table import Sample, Samples, table

_MAX_SECONDS = 540
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
    """

    name: str
    request: Callable[[Dialect], bytes]
    connections: int
    chunks: int = 0


_WORKLOADS = (
    Workload("1", plain, 1),
    Workload("16", plain, 16),
    Workload("64", plain, 64),
    Workload("large", lambda dialect: plain(dialect, large=True), 16),
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


class Bench:
    """Measures contenders, and collects the samples."""

    def __init__(self, load: Load, api: Process) -> None:
        self.samples = Samples()
        self._load = load
        self._api = api

    def measure(self, workload: Workload, contender: Contender, *, counted: bool = True) -> None:
        """Send requests for about a second. A warm-up is not counted."""
        mark = _MARKS[contender.dialect][bool(workload.chunks)]
        request, seconds = workload.request(contender.dialect), contender.seconds if counted else _WARM_UP_SECONDS
        job = Job(contender.process.port, request, mark, workload.connections, seconds, PIECE, workload.chunks)
        before = self._cpu_seconds(contender)
        outcome = self._load.run(job)
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
    parser.add_argument(
        "--litellm", type=Path, default=contenders.LITELLM, help="where LiteLLM is or will be installed"
    )
    options = parser.parse_args()
    version = contenders.install_litellm(options.litellm)
    signal.signal(signal.SIGALRM, _on_timeout)
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.alarm(_MAX_SECONDS)
    os.sched_setaffinity(0, processes.HARNESS_CORES)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True)))
        api = stack.enter_context(processes.scripted())
        bench = Bench(stack.enter_context(processes.load_generator()), api)
        measured = [
            Contender("direct", "anthropic", api, 0.7),
            _started(
                stack, bench, "dragoman", lambda name: contenders.dragoman(home / name, api, options.dragoman), options
            ),
            _started(
                stack, bench, "litellm", lambda name: contenders.litellm(home / name, api, options.litellm), options
            ),
        ]
        bench.round(measured, counted=False)
        for _ in range(options.rounds):
            bench.round(measured)
    print(table(bench.samples, options.rounds, version))


def _started(
    stack: ExitStack,
    bench: Bench,
    name: str,
    start: Callable[[str], AbstractContextManager[Process]],
    options: argparse.Namespace,
) -> Contender:
    """Start a gateway several times to measure its start. The last one is used."""
    for number in range(options.starts - 1):
        with start(f"{name}-{number}") as process:
            bench.samples.started(name, process)
    process = stack.enter_context(start(name))
    bench.samples.started(name, process)
    return Contender(name, "openai", process, 1.0 if name == "dragoman" else 1.5)


def _on_timeout(*_: object) -> None:
    raise SystemExit(f"The benchmark takes longer than {_MAX_SECONDS} seconds.")


def _on_sigterm(*_: object) -> None:
    raise SystemExit("Terminated.")  # an exception, so that the processes are terminated


if __name__ == "__main__":
    main()
