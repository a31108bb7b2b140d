"""What keys, limits, budgets and the ledger cost: two gateways in one run, by turns, before one scripted Messages API.

One has a key of a team, with limits on requests, tokens and runs and with budgets for gateway, team, key and model; the
other has none. Both have the ledger. Prints the processor time for each request and the median time of a request.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

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
        headers: The headers of each request.
        cpu: Seconds of processor time for each request, of each turn.
        times: Seconds of each request.
    """

    name: str
    process: Process
    headers: Mapping[str, str]
    cpu: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def turn(self, requests: int) -> None:
        """Send requests, one after the other."""
        connection = HTTPConnection("127.0.0.1", self.process.port, timeout=60)
        before = self.process.cpu()
        for _ in range(requests):
            began = time.perf_counter()
            connection.request("POST", "/v1/chat/completions", _BODY, self.headers)
            response = connection.getresponse()
            response.read()
            self.times.append(time.perf_counter() - began)
            if response.status != 200:  # noqa: PLR2004 - HTTP's own number
                raise SystemExit(f"{self.name}: {response.status}")
        self.cpu.append((self.process.cpu() - before) / requests)
        connection.close()


@contextmanager
def gateway(name: str, directory: Path, api: Process, *, limited: bool) -> Iterator[Measured]:
    """Start a gateway, with a key that has limits or without any."""
    state = directory / name
    headers = {"content-type": "application/json"}
    if limited:
        _dragoman("teams", "create", "web", *_SCOPE, *_MODEL_LIMIT, "--state-dir", str(state))
        made = _dragoman(
            "keys", "create", "ann", "--team", "web", *_SCOPE, *_MODEL_LIMIT, "--json", "--state-dir", str(state)
        )
        headers["authorization"] = f"Bearer {json.loads(made)['secret']}"
    command = [_DRAGOMAN, "serve", "--backend", "api", "--port", "{port}", "--state-dir", str(state), "-q"]
    env = {"ANTHROPIC_API_KEY": "sk-ant-dummy", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}"}
    with served([*command, *(_LIMITS if limited else ())], "/health", directory / f"{name}-home", env) as process:
        yield Measured(name, process, headers)


def main() -> None:
    """Measure, print the table, and end with an error if the limits of this page are exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20, help="Turns of each gateway.")
    parser.add_argument("--requests", type=int, default=500, help="Requests of each turn.")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        api = stack.enter_context(scripted())
        bare = stack.enter_context(gateway("bare", directory, api, limited=False))
        limited = stack.enter_context(gateway("limited", directory, api, limited=True))
        for one in (bare, limited):  # not measured
            one.turn(arguments.requests)
            one.cpu.clear()
            one.times.clear()
        for _ in range(arguments.turns):
            bare.turn(arguments.requests)
            limited.turn(arguments.requests)
    ratio = statistics.median(limited.cpu) / statistics.median(bare.cpu)
    added = (statistics.median(limited.times) - statistics.median(bare.times)) * 1000
    for one in (bare, limited):
        cpu, p50 = statistics.median(one.cpu) * 1e6, statistics.median(one.times) * 1000
        print(f"{one.name:<8} {cpu:7.0f} µs of CPU a request   p50 {p50:.3f} ms")
    print(f"CPU ratio {ratio:.3f} (at most {_MAX_CPU_RATIO}), added p50 {added:.3f} ms (at most {_MAX_ADDED_MS})")
    if ratio > _MAX_CPU_RATIO or added > _MAX_ADDED_MS:
        raise SystemExit(1)


def _dragoman(*arguments: str) -> str:
    return subprocess.run([_DRAGOMAN, *arguments], check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours


if __name__ == "__main__":
    main()
