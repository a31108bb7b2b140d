"""Measure how the cost of a request grows: with messages, tools, bytes and open streams, on both backends.

`make bench-growth` prints a table and draws docs/growth.svg. Each point is measured several times; the order is random.
The backend `api` is measured with a scripted Messages API, with requests that were sent before (the next turns of an
agent) and with new ones. The backend `runtime` is measured with the same API and the real Claude Code runtime, with few
requests: each takes a process. It takes some four minutes.
"""

import argparse
import os
import random
import signal
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import api_contenders as contenders
import api_processes as processes
from api_bodies import PIECE, SERIAL, agent, streamed
from api_load import Job
from api_processes import Load, Process
from api_table import machine
from growth_plot import Line, Panel, svg

_PLOT = Path(__file__).parent.parent / "docs" / "growth.svg"
_CHUNKS, _PACE_MS = 32, 100
_MILLI = 1000.0
_MAX_SECONDS = 1200
_BYTES_PER_MESSAGE, _BYTES_PER_TOOL = 500, 850
_MAX_MICROSECONDS_PER_MESSAGE = 3.0


@dataclass(frozen=True, slots=True)
class Point:
    """A point to measure.

    Attributes:
        kind: What grows.
        amount: How much of it there is.
        request: The request.
        streams: The number of open streams; 0 for one plain request at a time.
    """

    kind: str
    amount: int
    request: bytes
    streams: int = 0


def points(*, small: bool) -> Iterator[Point]:
    """Yield all points; the smaller ones for a backend that takes a process for each request."""
    for count in (1, 10, 100, 1000):
        yield Point("messages", count, agent("openai", count, 0, count * _BYTES_PER_MESSAGE))
    for count in (0, 20, 200):
        yield Point("tools", count, agent("openai", 9, count, 5000 + count * _BYTES_PER_TOOL))
    for size in (1, 10, 100, 1000) if small else (1, 10, 100, 1000, 10_000):
        yield Point("KB", size, agent("openai", 9, 0, size * 1000))
    for count in (1, 4, 16) if small else (1, 10, 100, 1000):
        yield Point("streams", count, streamed("openai", _CHUNKS, _PACE_MS), count)


class Bench:
    """Measures points, and collects the samples: CPU milliseconds and milliseconds, by line, kind and amount."""

    def __init__(self, load: Load) -> None:
        self.cpu: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        self.time: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        self._load = load

    def measure(self, line: str, process: Process, point: Point, seconds: float, serial: bytes = b"") -> None:
        """Send requests for some time."""
        mark, pieces = (b'"content":" lake', _CHUNKS) if point.streams else (b"Baikal", 0)
        job = Job(process.port, point.request, mark, point.streams or 1, seconds, PIECE, pieces, serial)
        self._load.run(Job(process.port, point.request, mark, 1, 0.0, PIECE, pieces, serial))
        before = process.cpu()
        outcome = self._load.run(job)
        key = (line, point.kind, point.amount)
        self.cpu[key].append(_MILLI * (process.cpu() - before) / outcome.requests)
        self.time[key].append(_MILLI * outcome.complete[0])

    def line(self, samples: dict[tuple[str, str, int], list[float]], name: str, kind: str) -> Line:
        """Return the medians of a line, by amount."""
        return sorted(
            (at, statistics.median(of)) for (line, what, at), of in samples.items() if (line, what) == (name, kind)
        )


def main() -> None:
    """Measure, print the table, and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each point is measured (3)")
    parser.add_argument("--backends", nargs="*", default=["api", "runtime"], help="the backends to measure (both)")
    parser.add_argument("--plot", type=Path, default=_PLOT, help="the image to write")
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)
    signal.alarm(_MAX_SECONDS)
    os.sched_setaffinity(0, processes.HARNESS_CORES)
    command = Path(sys.executable).with_name("dragoman")
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-growth-", ignore_cleanup_errors=True)))
        api = stack.enter_context(processes.scripted())
        bench = Bench(stack.enter_context(processes.load_generator()))
        if "api" in options.backends:
            with contenders.dragoman(home / "api", api, command, slots=1000) as process:
                for point in _shuffled(points(small=False), options.rounds):
                    if not point.streams:
                        bench.measure("api, new", process, point, 0.5, SERIAL)
                    bench.measure("api, sent before", process, point, 0.5)
        if "runtime" in options.backends:
            with contenders.dragoman(home / "runtime", api, command, backend="runtime", slots=16) as process:
                for point in _shuffled(points(small=True), options.rounds):
                    bench.measure("runtime", process, point, 0.0, SERIAL)
    print(machine({}))
    print(_table(bench))
    options.plot.write_text(svg(_panels(bench)))


def _on_signal(number: int, _: object) -> None:
    # An exception, so that the processes are terminated.
    raise SystemExit(f"Ended by {signal.Signals(number).name}; the limit is {_MAX_SECONDS} seconds.")


def _shuffled(all_points: Iterator[Point], rounds: int) -> list[Point]:
    repeated = [*all_points] * rounds
    return random.sample(repeated, len(repeated))


def _lines(bench: Bench) -> list[tuple[str, str]]:
    return list(dict.fromkeys((line, kind) for line, kind, _ in sorted(bench.cpu)))


def _table(bench: Bench) -> str:
    rows = ["| backend | grows | amount | CPU ms | ms | CPU us for each one more |", "|---" * 6 + "|"]
    for line, kind in _lines(bench):
        cpu, time = bench.line(bench.cpu, line, kind), bench.line(bench.time, line, kind)
        for (amount, cost), (_, seconds) in zip(cpu, time, strict=True):
            rows.append(f"| {line} | {kind} | {amount:,g} | {cost:,.2f} | {seconds:,.2f} | |")
        (least, first), (most, last) = cpu[0], cpu[-1]
        rows[-1] = rows[-1][:-2] + f" {_MILLI * (last - first) / (most - least):,.2f}{_bar(line, kind, cpu)} |"
    return "\n".join(rows)


def _bar(line: str, kind: str, cpu: Sequence[tuple[float, float]]) -> str:
    if kind != "messages" or not line.startswith("api"):
        return ""
    each = _MILLI * (cpu[-1][1] - cpu[0][1]) / (cpu[-1][0] - cpu[0][0])
    return (
        f" (at most {_MAX_MICROSECONDS_PER_MESSAGE:g} {'met' if each <= _MAX_MICROSECONDS_PER_MESSAGE else 'MISSED'})"
    )


def _panels(bench: Bench) -> list[Panel]:
    kinds = list(dict.fromkeys(kind for _, kind in _lines(bench)))
    names = list(dict.fromkeys(line for line, _ in _lines(bench)))
    panels = []
    for kind in kinds:
        what = "a stream" if kind == "streams" else "a request"
        lines = {name: points for name in names if (points := bench.line(bench.cpu, name, kind))}
        panels.append(Panel(f"CPU ms of {what}, by {kind}", kind, lines))
    return panels


if __name__ == "__main__":
    main()
