"""Prove that no wrong answer leaves the gateway: `make proof`.

A scripted API makes faults by seed, clients misbehave, processes are killed, the disk is full, the clock steps. Every
success must be exactly the scripted answer of its own request, and every failure an error of its dialect. At the end,
the fuzzers run for a short time. Exit code 1: anything was wrong, a phase found a leak, or a fuzzer found something.
Each finding names the command that repeats it.

The program is in `tests/`, not in `benchmarks/`: it judges answers and measures nothing, and its short form is a test.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

from proof_phases import PHASES, Backend, Options, PhaseResult, run_phase
from proof_table import findings, has_failed, table, write_docs

_TESTS = Path(__file__).resolve().parents[1]
_PAGE = _TESTS.parent / "docs" / "guarantees.md"
_RUNS = {"api": 10_000, "claude-code": 2000}
_AT_ONCE = {"api": 24, "claude-code": 4}


def main() -> None:
    """Run the phases, and print the table."""
    given = _arguments()
    if given.cluster:
        from proof_cluster import prove_cluster  # noqa: PLC0415 - needs PostgreSQL, Redis and nginx

        runs, at_once = given.runs or _RUNS["api"], given.at_once or _AT_ONCE["api"]
        text, details, failed = asyncio.run(prove_cluster(runs, given.seed, at_once))
        print(f"{details}\n\n{text}")
        if given.docs:
            write_docs(_PAGE, "cluster", text)
        sys.exit(failed)
    options = Options(
        backend=given.backend,
        runs=given.runs or _RUNS[given.backend],
        seed=given.seed,
        only=given.only,
        seconds=given.seconds,
        at_once=given.at_once or _AT_ONCE[given.backend],
    )
    began = time.monotonic()
    results = asyncio.run(_prove(options, given.phases))
    title = f"`--backend {options.backend} --runs {options.runs} --seed {options.seed}`"
    text = f"{title}, {time.monotonic() - began:.0f} s:\n\n{table(results, options.backend)}"
    print(f"{findings(results, options)}\n\n{text}")
    if given.docs:
        write_docs(_PAGE, options.backend, text)
    has_found = given.only is None and given.fuzz_seconds > 0 and _fuzz(given.fuzz_seconds)
    sys.exit(has_failed(results) or has_found)


async def _prove(options: Options, phases: list[str]) -> list[PhaseResult]:
    return [await run_phase(name, options) for name in phases]


def _fuzz(seconds: int) -> bool:
    """Run all fuzzers, and print how each ended. Return whether one found something."""
    print(f"\nFuzzers, {seconds} s in all:", flush=True)
    folders = os.pathsep.join(str(_TESTS / name) for name in ("proof", "server", "dialects"))
    command = [sys.executable, str(_TESTS / "fuzz" / "fuzz.py"), "--in-all", str(seconds)]
    variables = {**os.environ, "PYTHONPATH": folders}
    return subprocess.run(command, env=variables, check=False).returncode != 0  # noqa: S603 - our own program


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=get_args(Backend), default="api", help="backend (api)")
    parser.add_argument("--runs", type=int, help="number of runs (10000 on api, 2000 on claude-code)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all choices (1)")
    parser.add_argument("--only", type=int, metavar="K", help="run only the case of this number")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES), help="phases (all)")
    parser.add_argument("--seconds", type=float, default=7200, help="start no case of a phase after this time (7200)")
    parser.add_argument("--at-once", type=int, help="number of clients (24 on api, 4 on claude-code)")
    parser.add_argument("--fuzz-seconds", type=int, default=60, help="seconds of all fuzzers together; 0: none (60)")
    parser.add_argument("--cluster", action="store_true", help="three nodes behind nginx instead, which are killed")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/guarantees.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
