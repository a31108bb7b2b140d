"""The samples of the benchmark, and its table of results."""

import math
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from api_load import Outcome
from api_processes import Process

_SETTLE_SECONDS = 1.0
_MILLI = 1000.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one measurement.

    Attributes:
        outcome: The outcome of the load generator's job.
        cpu: Processor seconds of the contender.
        harness: Processor seconds of the scripted API and the load generator.
        memory: Resident MiB of the contender at the end.
        chunks: Text chunks of a response.
    """

    outcome: Outcome
    cpu: float
    harness: float
    memory: float
    chunks: int

    @property
    def rate(self) -> float:
        """Responses per second."""
        return self.outcome.requests / self.outcome.seconds

    @property
    def chunk_rate(self) -> float:
        """Text chunks per second."""
        return self.rate * self.chunks

    @property
    def cost(self) -> float:
        """Processor milliseconds per response."""
        return _MILLI * self.cpu / self.outcome.requests

    @property
    def chunk_cost(self) -> float:
        """Processor milliseconds per 1,000 text chunks."""
        return 1000 * self.cost / self.chunks


class Samples:
    """All samples, by contender and workload."""

    def __init__(self) -> None:
        self._samples: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
        self._boots: defaultdict[str, list[float]] = defaultdict(list)
        self._idle: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, name: str, kind: str, sample: Sample) -> None:
        """Add a sample."""
        self._samples[name, kind].append(sample)

    def started(self, name: str, process: Process) -> None:
        """Record the duration of a start, and the memory of the process one second later."""
        time.sleep(_SETTLE_SECONDS)
        self._boots[name].append(process.boot)
        self._idle[name].append(process.memory())

    def median(self, name: str, kind: str, of: Callable[[Sample], float]) -> float:
        """Return the median of all rounds; NaN if the contender fails at this workload."""
        return statistics.median([of(sample) for sample in self._samples[name, kind]] or [math.nan])

    def boot(self, name: str) -> float:
        """Return the seconds to the first healthy response."""
        return statistics.median(self._boots[name])

    def idle(self, name: str) -> float:
        """Return the resident MiB after the start."""
        return statistics.median(self._idle[name])

    def loaded(self, name: str) -> float:
        """Return the maximum resident MiB after any measurement."""
        return max(s.memory for (contender, _), samples in self._samples.items() if contender == name for s in samples)


Figure: TypeAlias = Callable[[Samples, str], float]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        title: What is measured.
        figure: Returns the value of a contender.
        digits: Decimal places.
        more: Whether a higher value is better.
        ratio: The minimum ratio to LiteLLM; 0 for no minimum.
        limit: The maximum value; 0 for no maximum.
        direct: Whether the value exists without a gateway.
    """

    title: str
    figure: Figure
    digits: int = 0
    more: bool = False
    ratio: float = 0.0
    limit: float = 0.0
    direct: bool = False


def _of(kind: str, of: Callable[[Sample], float]) -> Figure:
    return lambda samples, name: samples.median(name, kind, of)


def _added(kind: str, of: Callable[[Sample], float]) -> Figure:
    """Return the milliseconds that a gateway adds."""
    return lambda samples, name: _MILLI * (samples.median(name, kind, of) - samples.median("direct", kind, of))


def _busy(kind: str) -> Figure:
    return _of(kind, lambda s: 100 * s.cpu / s.outcome.seconds)


def _harness(kind: str) -> Figure:
    return _of(kind, lambda s: 100 * s.harness / s.outcome.seconds)


_ROWS = (
    Row("requests/s, 1 connection", _of("1", lambda s: s.rate), more=True, direct=True),
    Row("requests/s, 16 connections", _of("16", lambda s: s.rate), more=True, ratio=40, direct=True),
    Row("requests/s, 64 connections", _of("64", lambda s: s.rate), more=True, direct=True),
    Row("requests/s, next turns of 100 KB", _of("large", lambda s: s.rate), more=True, ratio=25, direct=True),
    Row("requests/s, new conversations of 100 KB", _of("new", lambda s: s.rate), more=True, ratio=25, direct=True),
    Row("added latency p50, 1 connection, ms", _added("1", lambda s: s.outcome.complete[0]), 2, limit=0.5),
    Row("added latency p99, 1 connection, ms", _added("1", lambda s: s.outcome.complete[1]), 2, limit=0.6),
    Row("latency p99, 16 connections, ms", _of("16", lambda s: _MILLI * s.outcome.complete[1]), 1, direct=True),
    Row("added time to the first text p50, ms", _added("first", lambda s: s.outcome.first[0]), 2),
    Row("added time to the first text p99, ms", _added("first", lambda s: s.outcome.first[1]), 2),
    Row("chunks/s, 50 streams", _of("chunks", lambda s: s.chunk_rate), more=True, ratio=80, direct=True),
    Row("chunks/s, 50 streams, one every 20 ms each", _of("paced", lambda s: s.chunk_rate), more=True, direct=True),
    Row("CPU ms per request, 16 connections", _of("16", lambda s: s.cost), 3, limit=0.3),
    Row("CPU ms per next turn of 100 KB", _of("large", lambda s: s.cost), 3, limit=1.0),
    Row("CPU ms per new conversation of 100 KB", _of("new", lambda s: s.cost), 3, limit=1.0),
    Row("CPU ms per 1,000 chunks, 50 streams", _of("chunks", lambda s: s.chunk_cost), 1),
    Row("CPU ms per 1,000 chunks, one every 20 ms", _of("paced", lambda s: s.chunk_cost), 1),
    Row("memory idle (RSS), MiB", lambda samples, name: samples.idle(name), limit=60),
    Row("memory under load (RSS), MiB", lambda samples, name: samples.loaded(name)),
    Row("seconds to the first healthy response", lambda samples, name: samples.boot(name), 2, limit=0.5),
)
_CHECKS = (
    Row("core in use, 16 connections, %", _busy("16")),
    Row("the harness's core in use at that time, %", _harness("16"), direct=True),
    Row("core in use, 50 streams, %", _busy("chunks")),
    Row("the harness's core in use at that time, %", _harness("chunks"), direct=True),
)


def table(samples: Samples, rounds: int, peers: Mapping[str, str]) -> str:
    """Return the tables in Markdown.

    Args:
        samples: The samples.
        rounds: The number of rounds.
        peers: The versions of the measured peers. Bars compare with LiteLLM.
    """
    names = ("dragoman", *peers)
    head = (f"medians of {rounds} rounds", "no gateway (upper limit)", *names, "dragoman and LiteLLM", "bar")
    checks = ("processor use", "no gateway", *names)
    return "\n".join(
        (
            machine(peers),
            *_lines(head, (_cells(row, samples, names) for row in _ROWS)),
            "",
            *_lines(checks, (_cells(row, samples, names)[: len(checks)] for row in _CHECKS)),
        )
    )


def _lines(head: tuple[str, ...], rows: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for cells in rows:
        yield "| " + " | ".join(cells) + " |"


def _cells(row: Row, samples: Samples, names: Sequence[str]) -> list[str]:
    ours = row.figure(samples, names[0])
    theirs = row.figure(samples, "LiteLLM") if "LiteLLM" in names else 0.0
    better = (ours / theirs if row.more else theirs / ours) if ours and theirs else 0.0
    direct = f"{row.figure(samples, 'direct'):,.{row.digits}f}" if row.direct else ""
    shown = f"{better:.1f}x {'more' if row.more else 'less'}" if better > 0 else ""
    figures = [f"{row.figure(samples, name):,.{row.digits}f}".replace("nan", "fails") for name in names]
    return [row.title, direct, *figures, shown, _bar(row, ours, better)]


def _bar(row: Row, ours: float, better: float) -> str:
    if row.ratio:
        verdict = "not compared" if not better else "met" if better >= row.ratio else "MISSED"
        return f"{row.ratio:g}x {verdict}"
    if row.limit:
        return f"at most {row.limit:g} {'met' if ours <= row.limit else 'MISSED'}"
    return ""


def machine(peers: Mapping[str, str]) -> str:
    """Return the machine, the versions and the time, in two lines."""
    names = [line.split(":")[1].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("dragoman", "uvicorn", "uvloop", "httptools"))
    versions = "".join(f", {name} {number}" for name, number in peers.items() if number)
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} x {names[0] if names else platform.machine()}, "
        f"{platform.system()} {platform.release()}, load averages at the end {load},\n"
        f"Python {platform.python_version()}, {libraries}{versions}\n"
    )


def _read(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
