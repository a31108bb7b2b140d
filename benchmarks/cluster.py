"""What PostgreSQL and Redis cost a gateway, and what one, two and three nodes carry: in one run, by turns.

Three gateways with the same limits and budgets, before one scripted API: with SQLite, with PostgreSQL, and with
PostgreSQL and Redis. Prints the processor time of the gateway for each request and the median time of a request. Then
one, two and three nodes of the last kind get the same number of requests from several clients. At the end, next turns
of conversations go to one node and to a random one of three; see `cluster_turns.py`.

The servers are those of Debian's packages, on sockets of this machine. PostgreSQL does not wait for the disk. All
gateways run on one core, so several nodes share it: their processor time for each request says what a core of their own
carries.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg

from api_processes import scripted
from cluster_turns import print_turns
from limits import Measured, gateway

sys.path.append(str(Path(__file__).parent.parent / "tests" / "stores"))

from engine_fixtures import Postgres, started_postgres, started_redis

_KEY = {"DRAGOMAN_ENCRYPTION_KEY": "a key of this benchmark"}
_MAX_CPU_RATIO = 1.25
_MAX_SECONDS = 240.0
_NODES = 3
_CLIENTS = 6


def main() -> None:
    """Measure, print the tables, and end with an error if the servers cost too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12, help="Turns of each gateway; 0: only the conversations.")
    parser.add_argument("--requests", type=int, default=300, help="Requests of each turn.")
    parser.add_argument("--conversations", type=int, default=4, help="Conversations with the runtime, of each cluster.")
    parser.add_argument("--next-turns", type=int, default=6, help="Next turns of each conversation.")
    arguments = parser.parse_args()
    ratios = _compare_servers(arguments.turns, arguments.requests) if arguments.turns else [0.0]
    if arguments.conversations:
        with started_postgres() as server:
            databases = [_make_database(server, f"turns_{number}") for number in range(3)]
            print_turns(databases, _KEY, arguments.conversations, arguments.next_turns)
    if max(ratios) > _MAX_CPU_RATIO:
        raise SystemExit(1)


def _compare_servers(turns: int, requests: int) -> list[float]:
    """Measure the servers and several nodes, and print the tables. Return the ratios of processor time."""
    deadline = time.monotonic() + _MAX_SECONDS
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        api = stack.enter_context(scripted())
        database = {"DRAGOMAN_DATABASE": stack.enter_context(started_postgres()).url, **_KEY}
        both = {**database, "DRAGOMAN_REDIS": stack.enter_context(started_redis()).url}
        kinds = {"SQLite": {}, "PostgreSQL": database, "PostgreSQL+Redis": both}
        measured = [
            stack.enter_context(gateway(name.replace("+", "-"), directory, api, limited=True, servers=servers))
            for name, servers in kinds.items()
        ]
        for one in measured:  # not measured
            one.turn(requests)
            one.cpu.clear()
            one.times.clear()
        for _ in range(turns):
            if time.monotonic() < deadline:
                for one in measured:
                    one.turn(requests)
        ratios = _print_costs(measured)
        more = [gateway(f"node-{number}", directory, api, limited=True, servers=both) for number in range(1, _NODES)]
        nodes = [measured[-1], *map(stack.enter_context, more)]
        for count in range(1, _NODES + 1):
            _print_load(nodes[:count], requests)
    return ratios


def _make_database(server: Postgres, name: str) -> str:
    """Make a database, and return its address."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url.replace("/postgres?", f"/{name}?")


def _print_costs(measured: Sequence[Measured]) -> list[float]:
    """Print what each gateway costs, and return the ratio of its processor time to that of the first."""
    ratios = [
        statistics.median(cpu / first for cpu, first in zip(one.cpu, measured[0].cpu, strict=True)) for one in measured
    ]
    for one, ratio in zip(measured, ratios, strict=True):
        cpu, p50 = statistics.median(one.cpu) * 1e6, statistics.median(one.times) * 1000
        print(f"{one.name:<17} {cpu:7.0f} µs of CPU a request   ratio {ratio:.3f}   p50 {p50:.3f} ms")
    print(f"CPU ratio at most {_MAX_CPU_RATIO}")
    return ratios


def _print_load(nodes: Sequence[Measured], requests: int) -> None:
    """Send requests from several clients to the nodes in turn, and print what they carried."""
    before = sum(node.process.cpu() for node in nodes)
    began = time.perf_counter()
    clients = [threading.Thread(target=nodes[client % len(nodes)].turn, args=(requests,)) for client in range(_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - began
    total = _CLIENTS * requests
    cpu = (sum(node.process.cpu() for node in nodes) - before) / total * 1e6
    print(f"{len(nodes)} node(s)   {total / seconds:6.0f} requests a second   {cpu:7.0f} µs of CPU a request")


if __name__ == "__main__":
    main()
