"""Fuzz the gateway: `make fuzz ARGS='--seconds 60'`. Each fuzzer runs this long; several run at the same time.

- A parser: atheris, guided by coverage. It begins with `corpus/TARGET/`. It writes findings there as `crash-HASH`,
  and a test replays the whole directory.
- `conversations`, `stored_responses`: state machines of Hypothesis. A finding is printed as a short program.
- `openapi`: Schemathesis, on the document that a simulated gateway serves.

Exit code 1: there was a finding, or a fuzzer failed to run.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz_targets import TARGETS

_HERE = Path(__file__).resolve().parent
_CORPUS = _HERE / "corpus"
_MORE_SECONDS = 300
_MACHINES = ("conversations", "stored_responses", "openapi")
_MAX_SHOWN_LINES = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a fuzzer ended.

    Attributes:
        name: The fuzzer.
        failed: Whether it found something, or did not run.
        seconds: How long it ran.
        output: What it printed.
    """

    name: str
    failed: bool
    seconds: float
    output: str

    def __str__(self) -> str:
        statistics = [line.removeprefix("stat::") for line in self.output.splitlines() if line.startswith("stat::")]
        done = next((line for line in statistics if "executed_units" in line), "")
        shown = "\n" + "\n".join(self.output.splitlines()[-_MAX_SHOWN_LINES:]) if self.failed else ""
        return f"{self.name} | {'FOUND' if self.failed else 'nothing found'} | {self.seconds:.0f} s | {done}{shown}"


def main() -> None:
    """Run the fuzzers, and print how each ended."""
    options = _arguments()
    seconds = options.seconds
    if options.in_all is not None:
        seconds = max(1, options.in_all * options.at_once // len(options.fuzzers))
    with TemporaryDirectory(prefix="dragoman-fuzz-") as work:
        folder = options.work or Path(work)
        with ThreadPoolExecutor(options.at_once) as pool:
            outcomes = pool.map(lambda name: _run(name, seconds, folder), options.fuzzers)
            failed = [outcome.failed for outcome in _shown(outcomes)]
    sys.exit(any(failed))


def _shown(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        print(outcome, flush=True)
        yield outcome


def _run(name: str, seconds: int, folder: Path) -> Outcome:
    command = [sys.executable, str(_HERE / f"fuzz_{name}.py"), str(seconds)]
    if name not in _MACHINES:
        new, corpus = folder / name, _CORPUS / name
        for path in (new, corpus):
            path.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(_HERE / "fuzz_atheris.py"), name, str(seconds), str(new), str(corpus)]
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, env=environment, cwd=folder, capture_output=True, timeout=seconds + _MORE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        return Outcome(name, failed=True, seconds=time.monotonic() - began, output=f"It did not end: {error}")
    output = (done.stdout + done.stderr).decode(errors="replace")
    return Outcome(name, done.returncode != 0, time.monotonic() - began, output)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = (*TARGETS, *_MACHINES)
    # Without names, argparse checks the default itself against the choices.
    parser.add_argument("fuzzers", nargs="*", choices=[*known, []], default=[], help="fuzzers (all)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (60)")
    parser.add_argument("--in-all", type=int, help="how long all run together, without their start; sets --seconds")
    parser.add_argument("--at-once", type=int, default=2, help="how many run at the same time (2)")
    parser.add_argument("--work", type=Path, help="keep the inputs that reached new code in this directory")
    options = parser.parse_args()
    options.fuzzers = options.fuzzers or list(known)
    return options


if __name__ == "__main__":
    main()
