"""The phases of the proof. Each has a gateway of its own, and disturbs it in its own way while cases run."""

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from proof_api import ScriptedApi
from proof_case import make_case
from proof_gateway import Counts, DidNotStart, ProvedGateway
from proof_machines import fake_clock
from proof_run import Prover, Tally

Backend: TypeAlias = Literal["api", "claude-code"]
Pause: TypeAlias = Callable[[float], Awaitable[bool]]
PHASES = ("faults", "kills", "disk", "clock")
_SHARES = {"faults": 0.85, "kills": 0.07, "disk": 0.04, "clock": 0.04}
_WARM_UP_SEED = 1_000_000
_PARTS = 4
_MIN_WARM_UP_RUNS = 60
_MAX_WARM_UP_RUNS = {"api": 2500, "claude-code": 60}
_CLOCK_STEPS = ("+3600", "-7200", "+86000", "-86000", "+0.5", "+0")
_STEP_SECONDS = 0.4
_DISK_BYTES = 3 * 2**20
_GATEWAY_KILL_SECONDS = {"api": 1.5, "claude-code": 20.0}
_RUNTIME_KILL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What to run.

    Attributes:
        backend: The backend.
        runs: The number of cases, over all phases.
        seed: The seed of the cases.
        only: The number of the only case to run.
        seconds: After this many seconds a phase starts no further case.
        at_once: The number of clients.
    """

    backend: Backend
    runs: int
    seed: int
    only: int | None
    seconds: float
    at_once: int

    @property
    def limit(self) -> float:
        """Seconds after which a request hangs."""
        return 60.0 if self.backend == "api" else 180.0

    @property
    def flags(self) -> tuple[str, ...]:
        """The gateway's flags."""
        silence, run = ("4", "40") if self.backend == "api" else ("15", "150")
        limits = ("--max-concurrency", str(self.at_once), "--max-queue-size", "1000")
        times = ("--silence-timeout", silence, "--run-timeout", run, "--live-ttl", "5", "--parked-ttl", "5")
        name = "api" if self.backend == "api" else "runtime"
        return ("--backend", name, *limits, *times, "--spares", "2", "--max-live", "4")


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What a phase came to.

    Attributes:
        name: The phase.
        tally: The outcomes; None if the phase was not run.
        before: The most that the gateway held in the first three quarters, if it was counted. The memory is that at
            their end.
        after: The same at the end.
        skipped: Why the phase was not run.
    """

    name: str
    tally: Tally | None = None
    before: Counts | None = None
    after: Counts | None = None
    skipped: str = ""

    @property
    def leaks(self) -> list[str]:
        """The names of the counts that grew."""
        return self.after.exceeded(self.before) if self.after and self.before else []


async def run_phase(name: str, options: Options) -> PhaseResult:
    """Run one phase. Its cases have numbers of their own, so that each can be repeated alone."""
    return await _PHASES[name](options)


@asynccontextmanager
async def _proved(
    options: Options, excused: frozenset[str] = frozenset(), **given: object
) -> AsyncIterator[tuple[ProvedGateway, Prover]]:
    """Start an API and a gateway in a temporary home directory. At the end, compare calls and the log."""
    with TemporaryDirectory(prefix="dragoman-proof-", ignore_cleanup_errors=True) as home:
        api = ScriptedApi(through_runtime=options.backend == "claude-code")
        async with api.serve():
            flags = (*options.flags, *given.pop("flags", ()))  # type: ignore[misc] # they are texts
            gateway = ProvedGateway(Path(home), api.url, flags, **given)  # type: ignore[arg-type] # its other fields
            with gateway.running():
                prover = Prover(gateway, api, options.limit, excused)
                yield gateway, prover
                await prover.check_stored()
            prover.check_log(allow_errors="store_failed" in excused)


async def _run_cases(prover: Prover, options: Options, phase: str, part: int = 0, parts: int = 1) -> None:
    """Run the cases of a phase, or one of several equal parts of them."""
    first = sum(int(options.runs * _SHARES[name]) for name in PHASES[: PHASES.index(phase)])
    numbers = range(first, first + int(options.runs * _SHARES[phase]))[part::parts]
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    await prover.run_all((make_case(options.seed, number) for number in numbers), options.at_once, options.seconds)


async def _faults(options: Options) -> PhaseResult:
    """Run cases on a gateway without disturbances, and compare what it holds before and after."""
    async with _proved(options) as (gateway, prover):
        if options.only is not None:
            await _run_cases(prover, options, "faults")
            return PhaseResult("faults", prover.tally)
        # Caches are bounded. They are filled with other messages, and with those of the first cases.
        warm_up = range(max(_MIN_WARM_UP_RUNS, min(_MAX_WARM_UP_RUNS[options.backend], options.runs // 4)))
        cases = (make_case(_WARM_UP_SEED + options.seed, number) for number in warm_up)
        await prover.fill_caches()
        await prover.run_all(cases, options.at_once, options.seconds)
        before = await gateway.count_when_idle()
        for part in range(_PARTS - 1):
            await _run_cases(prover, options, "faults", part, _PARTS)
            before = before.highest(await gateway.count_when_idle())
        await _run_cases(prover, options, "faults", _PARTS - 1, _PARTS)
        after = await gateway.count_when_idle(before)
        return PhaseResult("faults", prover.tally, before, after)


async def _kills(options: Options) -> PhaseResult:
    """Kill the gateway again and again, and its runtime processes more often. It continues on the same state."""
    excused = frozenset({"runtime_failed", "interrupted", "server_error"})
    async with _proved(options, excused) as (gateway, prover):
        rng = random.Random(options.seed)  # noqa: S311 - repeatable on purpose

        async def kill_runtimes(pause: Pause) -> None:
            while await pause(_RUNTIME_KILL_SECONDS):
                if gateway.is_up.is_set():
                    gateway.kill_runtime(rng.choice)

        async def kill_gateway(pause: Pause) -> None:
            while await pause(_GATEWAY_KILL_SECONDS[options.backend]):
                await gateway.restart()

        async with _meanwhile(kill_runtimes), _meanwhile(kill_gateway):
            await _run_cases(prover, options, "kills")
        return PhaseResult("kills", prover.tally)


async def _disk(options: Options) -> PhaseResult:
    """Run cases on a full disk, on one with space again, and on a read-only one."""
    excused = frozenset({"store_failed", "previous_response_not_found"})
    with TemporaryDirectory(prefix="dragoman-disk-") as folder:
        if os.geteuid() != 0 or not _mount("-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "proof", folder):
            return PhaseResult("disk", skipped="a small file system cannot be mounted: run it as root")
        try:
            state = Path(folder) / "state"
            async with _proved(options, excused, flags=("--state-dir", str(state))) as (gateway, prover):
                await _run_cases(prover, options, "disk", 0, 4)
                _fill(Path(folder) / "full")
                await _run_cases(prover, options, "disk", 1, 4)
                (Path(folder) / "full").unlink()
                await _run_cases(prover, options, "disk", 2, 4)
                await _run_read_only(prover, gateway, options, folder)
            return PhaseResult("disk", prover.tally)
        finally:
            _run("umount", "-l", folder)


async def _run_read_only(prover: Prover, gateway: ProvedGateway, options: Options, folder: str) -> None:
    """Make the disk read-only. A disk with open files stays as it is: then the gateway must refuse to start on it."""
    if _mount("-o", "remount,ro", folder):
        await _run_cases(prover, options, "disk", 3, 4)
        _mount("-o", "remount,rw", folder)
        return
    gateway.kill()
    _mount("-o", "remount,ro", folder)
    try:
        gateway.start()
    except DidNotStart as reason:
        prover.expect("cannot be used" in str(reason), "wrong", f"on a read-only disk it printed {reason}")
    else:
        await _run_cases(prover, options, "disk", 3, 4)
        gateway.kill()
    _mount("-o", "remount,rw", folder)
    gateway.start()


def _mount(*arguments: str) -> bool:
    return _run("mount", *arguments)


def _run(*command: str) -> bool:
    """Run a command of the system. Return whether it succeeded."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - of the system


def _fill(path: Path) -> None:
    """Fill the disk."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


async def _clock(options: Options) -> PhaseResult:
    """Step the gateway's clock, forwards and back. Its monotonic clock is that of the machine."""
    with TemporaryDirectory(prefix="dragoman-clock-") as clock:
        steps = Path(clock) / "step"
        steps.write_text("+0\n")
        fake = fake_clock(steps)
        if not fake:
            return PhaseResult("clock", skipped="libfaketime is not installed: apt-get install libfaketime")
        async with _proved(options, variables={**fake, "FAKETIME_NO_CACHE": "1"}) as (_, prover):

            async def step(pause: Pause) -> None:
                remaining = cycle(_CLOCK_STEPS)
                while await pause(_STEP_SECONDS):
                    steps.write_text(f"{next(remaining)}\n")

            async with _meanwhile(step):
                await _run_cases(prover, options, "clock")
            steps.write_text("+0\n")
    return PhaseResult("clock", prover.tally)


@asynccontextmanager
async def _meanwhile(disturb: Callable[[Pause], Awaitable[None]]) -> AsyncIterator[None]:
    """Disturb during a block. What has begun at its end is completed: a gateway that was killed runs again."""
    done = asyncio.Event()

    async def pause(seconds: float) -> bool:
        """Wait. Return whether the block continues."""
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), seconds)
        return not done.is_set()

    task = asyncio.ensure_future(disturb(pause))
    try:
        yield
    finally:
        done.set()
        await task


_PHASES: Mapping[str, Callable[[Options], Awaitable[PhaseResult]]] = {
    "faults": _faults,
    "kills": _kills,
    "disk": _disk,
    "clock": _clock,
}
