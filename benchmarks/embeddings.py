"""Compare embeddings through the gateway with the library itself, in one run: `python benchmarks/embeddings.py`.

The gateway is measured over HTTP in a process of its own. The library has the same model and a
process of its own. Measurements take turns in random order. Compare medians. The processor time does not depend on the
machine's load, but the rates do. Memory is measured after all rounds.
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

_SENTENCES = 1000
_AT_ONCE = 16
_MEBIBYTE = 2**20


def sentences() -> list[str]:
    """Return different sentences of a dozen words."""
    adjectives = ["red", "blue", "tall", "small", "quiet", "loud", "wide", "green", "cold", "warm"]
    nouns = ["cat", "dog", "bird", "house", "river", "boat", "train", "child", "farmer", "engine"]
    places = ["bridge", "market", "church", "harbour", "station", "garden", "mill", "tower", "field", "school"]
    return [
        f"The {a} {n} near the old {p} was seen again in spring." for a in adjectives for n in nouns for p in places
    ]


@dataclass
class Kind:
    """One way to embed all sentences.

    Attributes:
        name: Its name in the table.
        run: Embeds the sentences, and returns the seconds.
        processes: Returns its process ids.
        seconds: The seconds of each round.
        used: The processor seconds of each round.
    """

    name: str
    run: Callable[[], float]
    processes: Callable[[], list[int]]
    seconds: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    def processor_seconds(self) -> float:
        """Return the processor seconds of all its processes since their start."""
        times = [psutil.Process(pid).cpu_times() for pid in self.processes()]
        return float(sum(one.user + one.system for one in times))


class Direct:
    """The library in a process of its own. It reads a line, and prints the seconds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def seconds(self, *, one_by_one: bool) -> float:
        """Return the seconds for all sentences."""
        assert self._process.stdin is not None  # noqa: S101 - they are pipes
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        self._process.stdin.write(f"{int(one_by_one)}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def processes(self) -> list[int]:
        """Return its process id."""
        return [self._process.pid]

    @property
    def memory(self) -> float:
        """The resident memory in MiB."""
        return psutil.Process(self._process.pid).memory_info().rss / _MEBIBYTE


@contextmanager
def direct() -> Iterator[Direct]:
    """Start the library's process."""
    # The same environment as the gateway's own process: see `backends/embeddings/process.py`.
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--as-library"]
    with subprocess.Popen(  # noqa: S603 - this program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as process:
        yield Direct(process)
        process.kill()


def run_library() -> None:
    """Run the process of `Direct`: embed the sentences for each line of input."""
    model: Any = import_module("sentence_transformers").SentenceTransformer(locate_model(DEFAULT_MODEL).path)
    texts = sentences()
    for line in sys.stdin:
        began = time.perf_counter()
        for part in [[text] for text in texts] if int(line) else [texts]:
            model.encode(part, normalize_embeddings=True, show_progress_bar=False)
        print(time.perf_counter() - began, flush=True)


def send(connection: HTTPConnection, texts: list[str]) -> None:
    """Send one request, as the official clients do."""
    body = json.dumps({"model": "text-embedding-3-small", "input": texts, "encoding_format": "base64"})
    connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
    response = connection.getresponse()
    body_read = json.loads(response.read())
    if response.status != 200 or len(body_read["data"]) != len(texts):  # noqa: PLR2004 - HTTP's own number
        raise SystemExit(f"{response.status}: {str(body_read)[:300]}")


def in_one(served: Served) -> float:
    """Return the seconds for all sentences in one request."""
    connection = served.connect()
    began = time.perf_counter()
    send(connection, sentences())
    return time.perf_counter() - began


def one_by_one(served: Served) -> float:
    """Return the seconds for one request per sentence, with concurrent clients."""
    parts = [sentences()[start::_AT_ONCE] for start in range(_AT_ONCE)]

    def client(texts: list[str]) -> None:
        connection = served.connect()
        for text in texts:
            send(connection, [text])

    began = time.perf_counter()
    with ThreadPoolExecutor(_AT_ONCE) as clients:
        list(clients.map(client, parts))
    return time.perf_counter() - began


def gateway_processes(served: Served) -> list[int]:
    """Return the processes of the gateway and its model."""
    return [served.pid, *children_of(served.pid)]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--as-library", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not installed():
        raise SystemExit('The local model is not installed: pip install "dragoman[embeddings]"')
    if options.as_library:
        run_library()
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
            Kind("the gateway, one request", lambda: in_one(served), lambda: gateway_processes(served)),
            Kind(
                f"the gateway, {_SENTENCES} requests, {_AT_ONCE} at once",
                lambda: one_by_one(served),
                lambda: gateway_processes(served),
            ),
        ]
        measure(kinds, options.rounds)
        report(kinds, options.rounds)
        memory(served, library, idle)


def measure(kinds: list[Kind], rounds: int) -> None:
    """Measure every kind once per round, in random order. The first round loads the models and is not counted."""
    for number in range(rounds + 1):
        for kind in random.sample(kinds, len(kinds)):
            before = kind.processor_seconds() if number else 0.0
            seconds = kind.run()
            if number:
                kind.seconds.append(seconds)
                kind.used.append(kind.processor_seconds() - before)


def report(kinds: list[Kind], rounds: int) -> None:
    """Print the table of rates."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("dragoman", "sentence-transformers", "torch"))
    load = psutil.getloadavg()[0]
    print(
        f"{_SENTENCES} sentences, {DEFAULT_MODEL}, medians of {rounds} rounds, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    )
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}")
    print(f"{libraries}\n")
    base = statistics.median(kinds[0].seconds)
    print(f"| | embeddings/s | compared with {kinds[0].name} | CPU s / {_SENTENCES} |\n|---|---|---|---|")
    for kind in kinds:
        middle = statistics.median(kind.seconds)
        used = statistics.median(kind.used)
        print(f"| {kind.name} | {_SENTENCES / middle:.0f} | {base / middle:.2f}x | {used:.2f} |")


def memory(served: Served, library: Direct, idle: float) -> None:
    """Print the table of memory."""
    own = psutil.Process(served.pid).memory_info().rss / _MEBIBYTE
    model = sum(psutil.Process(pid).memory_info().rss for pid in children_of(served.pid)) / _MEBIBYTE
    print("\n| resident memory | MiB |\n|---|---|")
    print(f"| the gateway, before | {idle:.0f} |\n| the gateway, after | {own:.0f} |")
    print(f"| the model's process | {model:.0f} |\n| the library by itself | {library.memory:.0f} |")


if __name__ == "__main__":
    main()
