"""What an open page of the dashboard costs the gateway: with and without a reader of its events, by turns in one run.

Each turn sends the small requests of `benchmarks/api.py` over 16 connections. A process of its own reads the events of
the page Now. Prints the processor time of the gateway for each request, and the requests a second. Then it fills the
store with 10,000 runs, starts 200 that stay open, and measures the list.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import api_contenders as contenders
import api_processes as processes
from api_bodies import CHUNKS, KEY, plain, streamed
from api_load import Job
from api_processes import Load, Process

_CONNECTIONS = 16
_MARK = b"Baikal"
_SECONDS = 1.5
_MAX_RATIO = 1.03
_STORED_RUNS, _LIVE_RUNS, _LISTS = 10_000, 200, 30
_PACE_MS = 2000
_MAX_MS = 100
_READER = """
import sys
from http.client import HTTPConnection
connection = HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/admin/events?limit=100", headers={"x-api-key": sys.argv[2]})
response = connection.getresponse()
print(response.status, flush=True)
while response.read1(1 << 20):
    pass
"""


@contextmanager
def open_page(port: int) -> Iterator[None]:
    """Read the events as an open page does."""
    command = [sys.executable, "-c", _READER, str(port), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:  # noqa: S603 - ours
        try:
            assert reader.stdout is not None  # noqa: S101 - it is a pipe
            if (status := reader.stdout.readline()) != b"200\n":
                raise SystemExit(f"The events of the page cannot be read: {status.decode()}")
            yield
        finally:
            reader.terminate()


def turn(load: Load, gateway: Process) -> tuple[float, float]:
    """Return the seconds of processor time for each request, and the requests a second."""
    before = gateway.cpu()
    outcome = load.run(Job(gateway.port, plain("openai"), _MARK, _CONNECTIONS, _SECONDS))
    return (gateway.cpu() - before) / outcome.requests, outcome.requests / outcome.seconds


def fill(load: Load, gateway: Process) -> None:
    """Store as many runs as the gateway keeps."""
    sent = 0
    while sent < _STORED_RUNS:
        sent += load.run(Job(gateway.port, plain("openai"), _MARK, _CONNECTIONS, _SECONDS)).requests


@contextmanager
def live_runs(port: int) -> Iterator[None]:
    """Keep runs open that write a chunk every few seconds."""
    with ExitStack() as stack:
        for _ in range(_LIVE_RUNS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(streamed("openai", CHUNKS, _PACE_MS))
            client.recv(1)  # it has begun
        yield


def list_runs(gateway: Process) -> tuple[float, float]:
    """Return the milliseconds and the milliseconds of processor time of a list: medians."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    times: list[float] = []
    before = gateway.cpu()
    for _ in range(_LISTS):
        began = time.perf_counter()
        connection.request("GET", "/admin/runs?limit=200", headers={"x-api-key": KEY})
        body = connection.getresponse().read()
        times.append(time.perf_counter() - began)
    if body.count(b'"status":"running"') != _LIVE_RUNS:
        raise SystemExit("The list has not all open runs.")
    connection.close()
    return statistics.median(times) * 1000, (gateway.cpu() - before) / _LISTS * 1000


def main() -> None:
    """Measure, print the tables, and end with an error if a page or a list costs more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12, help="turns with a page and without (12)")
    parser.add_argument("--pages", type=int, default=1, help="open pages (1)")
    options = parser.parse_args()
    os.sched_setaffinity(0, processes.HARNESS_CORES)
    measured: dict[str, list[tuple[float, float]]] = {"closed": [], "open": []}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-bench-")))
        api = stack.enter_context(processes.scripted())
        load = stack.enter_context(processes.load_generator())
        command = Path(sys.executable).with_name("dragoman")
        gateway = stack.enter_context(contenders.dragoman(home / "gateway", api, command))
        turn(load, gateway)  # not measured
        for _ in range(options.turns):
            measured["closed"].append(turn(load, gateway))
            with ExitStack() as pages:
                for _ in range(options.pages):
                    pages.enter_context(open_page(gateway.port))
                measured["open"].append(turn(load, gateway))
        fill(load, gateway)
        with live_runs(gateway.port):
            elapsed, used = list_runs(gateway)
    for name, turns in measured.items():
        cpu, rate = (statistics.median(values) for values in zip(*turns, strict=True))
        print(f"{name:<8} {cpu * 1e6:7.0f} µs of CPU a request   {rate:7.0f} requests a second")
    ratio = statistics.median(
        opened / closed for (opened, _), (closed, _) in zip(measured["open"], measured["closed"], strict=True)
    )
    print(f"CPU ratio {ratio:.3f} (at most {_MAX_RATIO})")
    listed = f"{_STORED_RUNS} runs and {_LIVE_RUNS} live"
    print(f"list     {elapsed:7.1f} ms, {used:.1f} ms of CPU: {listed} (at most {_MAX_MS} ms)")
    if ratio > _MAX_RATIO or elapsed > _MAX_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
