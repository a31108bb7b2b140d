"""How long `/health` takes, and how much memory a gateway uses, while it handles large bodies before a scripted API.

Clients in a process of their own send 20 bodies of 30 MB at once, again and again. This process asks for `/health`, by
turns during the bodies and alone. Prints both times and the peak of the memory, and ends with an error if a limit is
exceeded. The times count only on a machine that does nothing else.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from api_processes import Process, scripted, served

_DRAGOMAN = str(Path(sys.executable).with_name("dragoman"))
_WORDS = "lorem ipsum\n"
_PAUSE_SECONDS = 0.01
_TIMEOUT_SECONDS = 300.0
_MAX_SECONDS = 0.1
_MAX_MIB = 600


def main() -> None:
    """Measure, print the table, and end with an error if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=20, help="bodies at once (20)")
    parser.add_argument("--megabytes", type=int, default=30, help="size of a body (30)")
    parser.add_argument("--turns", type=int, default=3, help="turns (3)")
    given = parser.parse_args()
    during: list[float] = []
    alone: list[float] = []
    with ExitStack() as stack:
        process = stack.enter_context(_gateway(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        for _ in range(given.turns):
            senders = _senders(process.port, given.bodies, given.megabytes * 1_000_000)
            during += _times(process.port, senders)
            if senders.exitcode:
                raise SystemExit("A body was not answered.")
            alone += _times(process.port, None, len(during) // given.turns)
        memory = _peak_mib(process.pid)
    for name, times in (("during the bodies", during), ("alone", alone)):
        median, last = statistics.median(times) * 1000, max(times) * 1000
        print(f"/health {name:<18} {len(times):6} requests   p50 {median:6.2f} ms   max {last:6.1f} ms")
    print(f"memory, peak {memory:.0f} MiB (at most {_MAX_MIB}); /health at most {_MAX_SECONDS * 1000:.0f} ms")
    if max(during) > _MAX_SECONDS or memory > _MAX_MIB:
        raise SystemExit(1)


@contextmanager
def _gateway(directory: Path) -> Iterator[Process]:
    with scripted() as api:
        env = {"ANTHROPIC_API_KEY": "sk-ant-dummy", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{api.port}"}
        command = [_DRAGOMAN, "serve", "--backend", "api", "--port", "{port}", "-q"]
        with served(command, "/health", directory / "home", env) as process:
            yield process


def _senders(port: int, bodies: int, size: int) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=_send_all, args=(port, bodies, size))
    process.start()
    return process


def _send_all(port: int, bodies: int, size: int) -> None:
    """Send bodies at once, each in a thread. Exit code 1: one was not answered."""
    body = json.dumps({"messages": [{"role": "user", "content": _WORDS * (size // (len(_WORDS) + 1))}]}).encode()
    statuses: list[int] = []

    def send() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        statuses.append(connection.getresponse().status)

    threads = [threading.Thread(target=send) for _ in range(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(statuses != [200] * bodies)


def _times(port: int, senders: SpawnProcess | None, count: int = 0) -> list[float]:
    """Return the seconds of requests for `/health`: until the senders have ended, or `count` of them."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    times: list[float] = []
    while senders.is_alive() if senders else len(times) < count:
        began = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        times.append(time.perf_counter() - began)
        time.sleep(_PAUSE_SECONDS)
    return times


def _peak_mib(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
