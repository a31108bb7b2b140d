"""What keys, limits, budgets and the ledger cost: two gateways in one run, by turns, before one scripted Messages API.

One has a key of a team, with limits on requests, tokens and runs and with budgets for gateway, team, key and model; the
other has none. Both have the ledger. Prints the processor time for each request, the median time of a request, and what
is added: the median of the differences between two turns that follow each other. It takes several pairs of gateways,
because two processes that do the same differ by a tenth. The client reads bytes and parses no headers: its own time is
not the gateway's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import SOL_TCP, TCP_NODELAY, create_connection

from api_processes import Process, scripted, served

_DRAGOMAN = str(Path(sys.executable).with_name("dragoman"))
_BODY = json.dumps(
    {"model": "sonnet", "max_tokens": 200, "messages": [{"role": "user", "content": "Which lake is the deepest?"}]}
)
_LIMITS = ("--requests-per-minute", "900000", "--tokens-per-minute", "900000000", "--budget", "900000usd/month")
_SCOPE = (
    "--rpm",
    "900000",
    "--tpm",
    "900m",
    "--concurrency",
    "900",
    "--budget",
    "90000usd/month",
    "--budget",
    "9000usd/day",
)
_MODEL_LIMIT = ("--model-limit", "sonnet:rpm=900000,budget=9000usd/week")
_MAX_CPU_RATIO = 1.25
_MAX_ADDED_MS = 0.1


@dataclass
class Measured:
    """One gateway and what was measured of it.

    Attributes:
        name: Its name in the table.
        process: Its process.
        request: The request, as it is sent.
        cpu: Seconds of processor time for each request, of each turn.
        times: The median time of a request in seconds, of each turn.
    """

    name: str
    process: Process
    request: bytes
    cpu: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def turn(self, requests: int) -> None:
        """Send requests, one after the other."""
        times = []
        with create_connection(("127.0.0.1", self.process.port), timeout=60) as connection:
            connection.setsockopt(SOL_TCP, TCP_NODELAY, 1)
            before = self.process.cpu()
            for _ in range(requests):
                began = time.perf_counter()
                connection.sendall(self.request)
                response = connection.recv(65536)
                while response and not response.endswith(b"}"):
                    response += connection.recv(65536)
                times.append(time.perf_counter() - began)
                if not response.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"{self.name}: {response[:200].decode(errors='replace')}")
            self.cpu.append((self.process.cpu() - before) / requests)
        self.times.append(statistics.median(times))


@contextmanager
def gateway(
    name: str, directory: Path, api: Process, *, limited: bool, servers: Mapping[str, str] | None = None
) -> Iterator[Measured]:
    """Start a gateway, with a key that has limits or without any.

    Args:
        name: Its name, and that of its key.
        directory: Where its state is.
        api: The scripted API.
        limited: Whether it has limits.
        servers: The environment variables of the servers that it shares with others.
    """
    state = directory / name
    servers = servers or {}
    headers = ""
    if limited:
        where = ("--state-dir", str(state))
        _dragoman("teams", "create", name, *_SCOPE, *_MODEL_LIMIT, *where, env=servers)
        made = _dragoman("keys", "create", name, "--team", name, *_SCOPE, *_MODEL_LIMIT, "--json", *where, env=servers)
        headers = f"authorization: Bearer {json.loads(made)['secret']}\r\n"
    command = [_DRAGOMAN, "serve", "--backend", "api", "--port", "{port}", "--state-dir", str(state), "-q"]
    env = {"ANTHROPIC_API_KEY": "sk-ant-dummy", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}", **servers}
    with served([*command, *(_LIMITS if limited else ())], "/health", directory / f"{name}-home", env) as process:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}content-length: {len(_BODY)}\r\n\r\n"
        yield Measured(name, process, (head + _BODY).encode())


def main() -> None:
    """Measure, print the table, and end with an error if the limits of this page are exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="Pairs of gateways, one after the other.")
    parser.add_argument("--turns", type=int, default=8, help="Turns of each gateway.")
    parser.add_argument("--requests", type=int, default=500, help="Requests of each turn.")
    arguments = parser.parse_args()
    ratios, differences = [], []
    with ExitStack() as stack:
        api = stack.enter_context(scripted())
        for number in range(arguments.pairs):
            bare, limited = measure_pair(api, arguments.turns, arguments.requests)
            ratios += [one / other for one, other in zip(limited.cpu, bare.cpu, strict=True)]
            differences += [one - other for one, other in zip(limited.times, bare.times, strict=True)]
            cpu = [statistics.median(one.cpu) * 1e6 for one in (bare, limited)]
            p50 = [statistics.median(one.times) * 1000 for one in (bare, limited)]
            print(
                f"pair {number + 1}: {cpu[0]:.0f} µs of CPU a request without limits, {cpu[1]:.0f} with; "
                f"p50 {p50[0]:.3f} and {p50[1]:.3f} ms",
                flush=True,
            )
    ratio, added = statistics.median(ratios), statistics.median(differences) * 1000
    print(f"CPU ratio {ratio:.3f} (at most {_MAX_CPU_RATIO}), added p50 {added:.3f} ms (at most {_MAX_ADDED_MS})")
    if ratio > _MAX_CPU_RATIO or added > _MAX_ADDED_MS:
        raise SystemExit(1)


def measure_pair(api: Process, turns: int, requests: int) -> tuple[Measured, Measured]:
    """Measure a gateway without limits and one with, by turns, after a turn of each that is not counted."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(gateway("bare", directory, api, limited=False))
        limited = stack.enter_context(gateway("limited", directory, api, limited=True))
        for turn in range(turns + 1):
            for one in (bare, limited):
                one.turn(requests)
                if turn == 0:
                    one.cpu.clear()
                    one.times.clear()
    return bare, limited


def _dragoman(*arguments: str, env: Mapping[str, str]) -> str:
    command, all_ = [_DRAGOMAN, *arguments], {**os.environ, **env}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=all_).stdout  # noqa: S603 - ours


if __name__ == "__main__":
    main()
