"""Embeddings through the gateway beside the same model used directly, in one run: `python benchmarks/embeddings.py`.

The gateway is measured over HTTP, in a process of its own; so is the library by itself, with the same model, as a
program would use it. Kinds take turns in random order; medians count. The seconds of processor time do not depend on
what else the machine does; the rates do. Memory is what stays resident after all rounds.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from dragoman.backends.embeddings.library import DEFAULT_MODEL, installed, locate_model
from servers import Served, children_of, gateway, simulator

_SIZE = 1000
_AT_ONCE = 16
_MEBIBYTE = 2**20


def sentences() -> list[str]:
    """Each another one, of a dozen words."""
    kinds = ["red", "blue", "tall", "small", "quiet", "loud", "wide", "green", "cold", "warm"]
    things = ["cat", "dog", "bird", "house", "river", "boat", "train", "child", "farmer", "engine"]
    places = ["bridge", "market", "church", "harbour", "station", "garden", "mill", "tower", "field", "school"]
    return [f"The {k} {t} near the old {p} was seen again in spring." for k in kinds for t in things for p in places]


@dataclass
class Kind:
    """One way to have all sentences embedded.

    Attributes:
        name: What the table calls it.
        run: Does it; the seconds that it took.
        processes: Those that work for it.
        seconds: Of each round.
        used: Processor seconds of each round.
    """

    name: str
    run: Callable[[], float]
    processes: Callable[[], list[int]]
    seconds: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    def processor_seconds(self) -> float:
        """Of all its processes since they began."""
        times = [psutil.Process(pid).cpu_times() for pid in self.processes()]
        return float(sum(one.user + one.system for one in times))


class Direct:
    """The library in a process of its own: one line in, the seconds out."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def seconds(self, *, one_by_one: bool) -> float:
        """How long all sentences take."""
        assert self._process.stdin is not None  # noqa: S101 - they are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(f"{int(one_by_one)}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def processes(self) -> list[int]:
        """Itself."""
        return [self._process.pid]

    @property
    def memory(self) -> float:
        """Resident MiB."""
        return psutil.Process(self._process.pid).memory_info().rss / _MEBIBYTE


@contextmanager
def direct() -> Iterator[Direct]:
    """Start it."""
    # The same way of waiting that the gateway gives its own process: see `backends/embedders/process.py`.
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--as-library"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as process:
        yield Direct(process)
        process.kill()


def be_the_library() -> None:
    """Answer lines, as `Direct` asks them."""
    model: Any = import_module("sentence_transformers").SentenceTransformer(locate_model(DEFAULT_MODEL).path)
    texts = sentences()
    for line in sys.stdin:
        began = time.perf_counter()
        for part in [[text] for text in texts] if int(line) else [texts]:
            model.encode(part, normalize_embeddings=True, show_progress_bar=False)
        print(time.perf_counter() - began, flush=True)


def ask(connection: HTTPConnection, texts: list[str]) -> None:
    """One request, as the official clients make it."""
    body = json.dumps({"model": "text-embedding-3-small", "input": texts, "encoding_format": "base64"})
    connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    made = json.loads(answer.read())
    if answer.status != 200 or len(made["data"]) != len(texts):  # noqa: PLR2004 - HTTP's own number
        raise SystemExit(f"{answer.status}: {str(made)[:300]}")


def in_one(served: Served) -> float:
    """Seconds for all sentences in one request."""
    connection = served.connect()
    began = time.perf_counter()
    ask(connection, sentences())
    return time.perf_counter() - began


def one_by_one(served: Served) -> float:
    """Seconds for a request a sentence, some at once."""
    parts = [sentences()[place::_AT_ONCE] for place in range(_AT_ONCE)]

    def client(texts: list[str]) -> None:
        connection = served.connect()
        for text in texts:
            ask(connection, [text])

    began = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as clients:
        list(clients.map(client, parts))
    return time.perf_counter() - began


def of_gateway(served: Served) -> list[int]:
    """The gateway and its model."""
    return [served.pid, *children_of(served.pid)]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--as-library", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if not installed():
        raise SystemExit('The local model is not installed: pip install "dragoman[embeddings]"')
    if told.as_library:
        be_the_library()
        return
    with (
        TemporaryDirectory() as folder,
        simulator(Path(folder)) as api,
        direct() as library,
        gateway(Path(folder) / "gateway", api, spares=0, max_live=0) as served,
    ):
        idle = psutil.Process(served.pid).memory_info().rss / _MEBIBYTE
        kinds = [
            Kind("the library, all at once", lambda: library.seconds(one_by_one=False), library.processes),
            Kind("the library, one by one", lambda: library.seconds(one_by_one=True), library.processes),
            Kind("the gateway, one request", lambda: in_one(served), lambda: of_gateway(served)),
            Kind(
                f"the gateway, {_SIZE} requests, {_AT_ONCE} at once",
                lambda: one_by_one(served),
                lambda: of_gateway(served),
            ),
        ]
        measure(kinds, told.rounds)
        report(kinds, told.rounds)
        memory(served, library, idle)


def measure(kinds: list[Kind], rounds: int) -> None:
    """Every kind once a round, in random order; a first round loads the models and does not count."""
    for number in range(rounds + 1):
        for kind in random.sample(kinds, len(kinds)):
            before = kind.processor_seconds() if number else 0.0
            taken = kind.run()
            if number:
                kind.seconds.append(taken)
                kind.used.append(kind.processor_seconds() - before)


def report(kinds: list[Kind], rounds: int) -> None:
    """The table of rates."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("dragoman", "sentence-transformers", "torch"))
    load = psutil.getloadavg()[0]
    print(f"{_SIZE} sentences, {DEFAULT_MODEL}, medians of {rounds} rounds, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
    print(f"{libraries}\n")
    base = statistics.median(kinds[0].seconds)
    print(f"| | embeddings/s | beside {kinds[0].name} | CPU s / {_SIZE} |\n|---|---|---|---|")
    for kind in kinds:
        middle = statistics.median(kind.seconds)
        used = statistics.median(kind.used)
        print(f"| {kind.name} | {_SIZE / middle:.0f} | {base / middle:.2f}x | {used:.2f} |")


def memory(served: Served, library: Direct, idle: float) -> None:
    """The table of memory."""
    own = psutil.Process(served.pid).memory_info().rss / _MEBIBYTE
    model = sum(psutil.Process(pid).memory_info().rss for pid in children_of(served.pid)) / _MEBIBYTE
    print("\n| resident memory | MiB |\n|---|---|")
    print(f"| the gateway, before | {idle:.0f} |\n| the gateway, after | {own:.0f} |")
    print(f"| its model's process | {model:.0f} |\n| the library by itself | {library.memory:.0f} |")


if __name__ == "__main__":
    main()
