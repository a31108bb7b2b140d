"""The backend `api` beside LiteLLM's proxy, all in one run: `make bench-api`.

Both stand in front of the same scripted Messages API, each in one process on a core of its own; the scripted API and
the load generator have the other core. What these two reach without a gateway between them is the ceiling. Kinds and
contenders take turns in random order; medians and ratios count, not the figures of one machine. Some three minutes.
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

_LONGEST = 540
_WARM_UP = 0.3
_FEW = 8
_PACE = 20
_MARKS: dict[Dialect, dict[bool, bytes]] = {
    "anthropic": {False: b"Baikal", True: b'"text":" lake'},
    "openai": {False: b"Baikal", True: b'"content":" lake'},
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A way of asking.

    Attributes:
        name: What its samples are called.
        request: Makes the request.
        connections: How many ask at once.
        chunks: Pieces of text of a streamed answer; 0 for a plain one.
    """

    name: str
    request: Callable[[Dialect], bytes]
    connections: int
    chunks: int = 0


_KINDS = (
    Kind("1", plain, 1),
    Kind("16", plain, 16),
    Kind("64", plain, 64),
    Kind("large", lambda dialect: plain(dialect, large=True), 16),
    Kind("first", lambda dialect: streamed(dialect, _FEW), 1, _FEW),
    Kind("chunks", streamed, 50, CHUNKS),
    Kind("paced", lambda dialect: streamed(dialect, CHUNKS, _PACE), 50, CHUNKS),
)


@dataclass(frozen=True, slots=True)
class Contender:
    """Someone who is asked, and how."""

    name: str
    dialect: Dialect
    process: Process
    seconds: float


class Bench:
    """Measures one contender in one way, and keeps what came of it."""

    def __init__(self, load: Load, api: Process) -> None:
        self.samples = Samples()
        self._load = load
        self._api = api

    def measure(self, kind: Kind, contender: Contender, *, counts: bool = True) -> None:
        """Ask, for a second or so; a warm-up does not count."""
        mark = _MARKS[contender.dialect][bool(kind.chunks)]
        request, seconds = kind.request(contender.dialect), contender.seconds if counts else _WARM_UP
        job = Job(contender.process.port, request, mark, kind.connections, seconds, PIECE, kind.chunks)
        before = self._spent(contender)
        outcome = self._load.run(job)
        cpu, harness = (after - earlier for after, earlier in zip(self._spent(contender), before, strict=True))
        memory = contender.process.memory()
        if counts:
            self.samples.add(contender.name, kind.name, Sample(outcome, cpu, harness, memory, kind.chunks))

    def _spent(self, contender: Contender) -> tuple[float, float]:
        return contender.process.cpu(), self._api.cpu() + self._load.itself.cpu()

    def round(self, asked: list[Contender], *, counts: bool = True) -> None:
        """Every kind with every contender, in random order."""
        pairs = [(kind, contender) for kind in _KINDS for contender in asked]
        for kind, contender in random.sample(pairs, len(pairs)):
            self.measure(kind, contender, counts=counts)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="how often each kind is measured (4)")
    parser.add_argument("--starts", type=int, default=3, help="how often each gateway is started (3)")
    parser.add_argument("--dragoman", type=Path, default=Path(sys.executable).with_name("dragoman"), help="the command")
    parser.add_argument(
        "--litellm", type=Path, default=contenders.LITELLM, help="where LiteLLM is or will be installed"
    )
    told = parser.parse_args()
    version = contenders.install_litellm(told.litellm)
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGTERM, _told_to_end)
    signal.alarm(_LONGEST)
    os.sched_setaffinity(0, processes.HARNESS_CORES)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True)))
        api = stack.enter_context(processes.scripted())
        bench = Bench(stack.enter_context(processes.load_generator()), api)
        asked = [
            Contender("direct", "anthropic", api, 0.7),
            _started(stack, bench, "dragoman", lambda at: contenders.dragoman(home / at, api, told.dragoman), told),
            _started(stack, bench, "litellm", lambda at: contenders.litellm(home / at, api, told.litellm), told),
        ]
        bench.round(asked, counts=False)
        for _ in range(told.rounds):
            bench.round(asked)
    print(table(bench.samples, told.rounds, version))


def _started(
    stack: ExitStack,
    bench: Bench,
    name: str,
    start: Callable[[str], AbstractContextManager[Process]],
    told: argparse.Namespace,
) -> Contender:
    """Start a gateway some times; the last one stays."""
    for number in range(told.starts - 1):
        with start(f"{name}-{number}") as process:
            bench.samples.started(name, process)
    process = stack.enter_context(start(name))
    bench.samples.started(name, process)
    return Contender(name, "openai", process, 1.0 if name == "dragoman" else 1.5)


def _too_long(*_: object) -> None:
    raise SystemExit(f"The benchmark takes longer than {_LONGEST} seconds: something hangs.")


def _told_to_end(*_: object) -> None:
    raise SystemExit("Told to end.")  # and not at once: what was started is ended on the way out


if __name__ == "__main__":
    main()
