"""Two thousand runs, bad clients and killed processes among them, and nothing may be left: `make soak`.

A gateway in front of its own simulator is asked by a handful of clients at once, at random: new conversations and next
turns, tools, clients that leave, cancelled runs, errors, and runtime processes of its own that are killed. Then it is
left alone, and must hold no more than after its warm-up: processes, file descriptors, tasks, files; memory within a
tenth. Exit code 1: a bar was missed.
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

_SPARES = 2
_MAX_LIVE = 4
_TTL = 5
_TIMEOUT = 90.0
_LEAST_WARM_UP = 60
_SHARE_OF_WARM_UP = 0.1
_SHOWN = 8
_DRAFT_AGE = 65

Tally = Counter[tuple[str, str, bool]]


def main() -> None:
    """Soak, and print what is left."""
    options = _options()
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-soak-", ignore_cleanup_errors=True)))
        flags = ("--backend", options.backend, *_flags(options.at_once))
        gateway = stack.enter_context(servers.simulated(home, *flags))
        spares = _SPARES if options.backend == "runtime" else 0
        soak = Soak(gateway, chance)
        asyncio.run(_ask(soak, max(_LEAST_WARM_UP, int(options.runs * _SHARE_OF_WARM_UP)), options))
        start = soak_counts.settled(gateway, home, spares, _TIMEOUT)
        before, began = soak_counts.files(home), time.monotonic()
        tally = asyncio.run(_ask(soak, options.runs, options))
        seconds = time.monotonic() - began
        soak_counts.settled(gateway, home, spares, _TIMEOUT)
        time.sleep(_DRAFT_AGE)
        asyncio.run(soak.plain())  # drafts of killed processes are taken away when a later one ends
        soak_counts.settled(gateway, home, spares, _TIMEOUT)
        end = soak_counts.returned(gateway, home, start, _TIMEOUT)
        new = sorted(soak_counts.files(home) - before)
    print(_outcomes(tally, seconds))
    print(_held(start, end))
    print(f"\nNew files: {', '.join(new[:_SHOWN]) or 'none'}")
    sys.exit(bool(_wrong(tally, options.runs) or end.missed(start)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--at-once", type=int, default=4, help="how many at once (4)")
    parser.add_argument("--seconds", type=float, default=3600, help="the most time that they may take (3600)")
    parser.add_argument("--backend", choices=["runtime", "api"], default="runtime", help="which is soaked (runtime)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
    return parser.parse_args()


def _flags(at_once: int) -> tuple[str, ...]:
    """Conversations are let go soon, so that those that are kept are not taken for left-overs."""
    kept = ("--spares", _SPARES, "--max-live", _MAX_LIVE, "--live-ttl", _TTL, "--parked-ttl", _TTL)
    return tuple(map(str, (*kept, "--max-concurrency", at_once)))


async def _ask(soak: Soak, runs: int, options: argparse.Namespace) -> Tally:
    """Have so many runs made, by a bounded number of clients and in a bounded time."""
    tally: Tally = Counter()
    left = iter(range(runs))

    async def client() -> None:
        for _ in left:
            tally[await soak.next()] += 1
            _tell(tally.total(), runs)

    try:
        async with asyncio.timeout(options.seconds), asyncio.TaskGroup() as clients:
            for _ in range(options.at_once):
                clients.create_task(client())
    except TimeoutError:
        print(f"{options.seconds:g} seconds are over.", file=sys.stderr)
    return tally


def _tell(done: int, runs: int) -> None:
    """How far it is, where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r{done} of {runs}", end="\n" if done == runs else "", file=sys.stderr, flush=True)


def _wrong(tally: Tally, runs: int) -> bool:
    return tally.total() < runs or any(not fine for _, _, fine in tally)


def _outcomes(tally: Tally, seconds: float) -> str:
    lines = [f"{tally.total()} runs in {seconds:.0f} s | outcome | times", "---|---|---"]
    lines += [
        f"{kind} | {outcome} | {times}{'' if fine else ' WRONG'}"
        for (kind, outcome, fine), times in sorted(tally.items())
    ]
    return "\n".join(lines) + "\n"


def _held(start: Counts, end: Counts) -> str:
    missed = end.missed(start)
    lines = ["held | after warm-up | at the end | bar", "---|---|---|---"]
    for name, before in vars(start).items():
        now = getattr(end, name)
        lines.append(f"{name} | {before:g} | {now:g} | {'MISSED' if name in missed else 'met'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
