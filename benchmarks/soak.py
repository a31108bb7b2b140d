"""Run two thousand requests, with bad clients and killed processes, and check for leaks: `make soak`.

Several clients send random requests to a gateway with its own simulator: new conversations and next turns, tools,
disconnects, cancelled runs, errors, and requests whose runtime process is killed. After that, the idle gateway must not
have more than after its warm-up: processes, file descriptors, tasks and files. Its memory may grow by a tenth. Exit
code 1: a limit was exceeded.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import soak_counts
from soak_counts import Counts
from soak_runs import Soak

_WARM_PROCESSES = 2
_MAX_LIVE = 4
_TTL_SECONDS = 5
_TIMEOUT_SECONDS = 90.0
_MIN_WARM_UP_RUNS = 60
_WARM_UP_SHARE = 0.1
_MAX_SHOWN_FILES = 8
_STALE_FILE_SECONDS = 65

Tally = Counter[tuple[str, str, bool]]


def main() -> None:
    """Run the requests, and print the result."""
    options = _options()
    rng = random.Random(options.seed)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-soak-", ignore_cleanup_errors=True)))
        flags = ("--backend", options.backend, *_flags(options.at_once))
        gateway = stack.enter_context(servers.simulated(home, *flags))
        warm = _WARM_PROCESSES if options.backend == "runtime" else 0
        soak = Soak(gateway, rng)
        asyncio.run(_send(soak, max(_MIN_WARM_UP_RUNS, int(options.runs * _WARM_UP_SHARE)), options))
        start = soak_counts.count_when_idle(gateway, home, warm, _TIMEOUT_SECONDS)
        before, began = soak_counts.files(home), time.monotonic()
        tally = asyncio.run(_send(soak, options.runs, options))
        seconds = time.monotonic() - began
        soak_counts.count_when_idle(gateway, home, warm, _TIMEOUT_SECONDS)
        time.sleep(_STALE_FILE_SECONDS)
        asyncio.run(soak.plain())  # stale files of killed processes are removed when a later process ends
        soak_counts.count_when_idle(gateway, home, warm, _TIMEOUT_SECONDS)
        end = soak_counts.count_when_released(gateway, home, start, _TIMEOUT_SECONDS)
        new = sorted(soak_counts.files(home) - before)
    print(_outcomes(tally, seconds))
    print(_counts_table(start, end))
    print(f"\nNew files: {', '.join(new[:_MAX_SHOWN_FILES]) or 'none'}")
    sys.exit(bool(_has_failed(tally, options.runs) or end.exceeded(start)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="number of runs (2000)")
    parser.add_argument("--at-once", type=int, default=4, help="number of clients (4)")
    parser.add_argument("--seconds", type=float, default=3600, help="maximum duration (3600)")
    parser.add_argument("--backend", choices=["runtime", "api"], default="runtime", help="backend (runtime)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choices (1)")
    return parser.parse_args()


def _flags(at_once: int) -> tuple[str, ...]:
    """Return the gateway's flags. Live processes end soon, so that they are not counted as leaks."""
    processes = (
        "--spares",
        _WARM_PROCESSES,
        "--max-live",
        _MAX_LIVE,
        "--live-ttl",
        _TTL_SECONDS,
        "--parked-ttl",
        _TTL_SECONDS,
    )
    return tuple(map(str, (*processes, "--max-concurrency", at_once)))


async def _send(soak: Soak, runs: int, options: argparse.Namespace) -> Tally:
    """Send the requests, with a limited number of clients and in a limited time."""
    tally: Tally = Counter()
    remaining = iter(range(runs))

    async def client() -> None:
        for _ in remaining:
            tally[await soak.next()] += 1
            _show_progress(tally.total(), runs)

    try:
        async with asyncio.timeout(options.seconds), asyncio.TaskGroup() as clients:
            for _ in range(options.at_once):
                clients.create_task(client())
    except TimeoutError:
        print(f"{options.seconds:g} seconds are over.", file=sys.stderr)
    return tally


def _show_progress(done: int, runs: int) -> None:
    """Print the progress in a terminal."""
    if sys.stderr.isatty():
        print(f"\r{done} of {runs}", end="\n" if done == runs else "", file=sys.stderr, flush=True)


def _has_failed(tally: Tally, runs: int) -> bool:
    return tally.total() < runs or any(not expected for _, _, expected in tally)


def _outcomes(tally: Tally, seconds: float) -> str:
    lines = [f"{tally.total()} runs in {seconds:.0f} s | outcome | times", "---|---|---"]
    lines += [
        f"{kind} | {outcome} | {times}{'' if expected else ' WRONG'}"
        for (kind, outcome, expected), times in sorted(tally.items())
    ]
    return "\n".join(lines) + "\n"


def _counts_table(start: Counts, end: Counts) -> str:
    exceeded = end.exceeded(start)
    lines = ["count | after warm-up | at the end | limit", "---|---|---|---"]
    for name, before in vars(start).items():
        now = getattr(end, name)
        lines.append(f"{name} | {before:g} | {now:g} | {'MISSED' if name in exceeded else 'met'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
