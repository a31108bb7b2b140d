"""Compare the runtime backend with cold processes in one run: `make bench`.

The gateway is measured over HTTP, with the real Claude Code runtime, and with the simulator in a process of its own.
The comparison is a gateway that starts a process for each request: without warm and live processes. Measurements take
turns in random order. Compare medians and ratios, not seconds.
"""

import argparse
import platform
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import timed_requests
from servers import Served

_PAIRS = 50
_WARM_PROCESSES = 2
_CONVERSATIONS = 24
_AT_ONCE = 4
_MEBIBYTE = 2**20


class Bench:
    """The measurements, and their seconds.

    Args:
        cold: A gateway that starts a process for each request.
        warm: A gateway with warm and live processes.
    """

    def __init__(self, cold: Served, warm: Served) -> None:
        self.cold = cold
        self.warm = warm
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def round(self) -> None:
        """Measure each kind once, in random order."""
        kinds: list[Callable[[], None]] = [self._cold, self._warm, self._cold_long, self._warm_long, self._reaped]
        random.shuffle(kinds)
        for kind in kinds:
            self.warm.settle(_WARM_PROCESSES)
            kind()

    def _cold(self) -> None:
        seconds, _ = timed_requests.first_token(self.cold, timed_requests.new_conversation(), "cold")
        self.seconds["cold"].append(seconds)

    def _warm(self) -> None:
        messages = timed_requests.new_conversation()
        seconds, text = timed_requests.first_token(self.warm, messages, "warm")
        self.seconds["fresh"].append(seconds)
        self.warm.settle(_WARM_PROCESSES)
        seconds, _ = timed_requests.first_token(self.warm, timed_requests.next_turn(messages, text), "live")
        self.seconds["next"].append(seconds)

    def _cold_long(self) -> None:
        seconds, _ = timed_requests.first_token(self.cold, timed_requests.new_conversation(_PAIRS), "cold")
        self.seconds["cold 100"].append(seconds)

    def _warm_long(self) -> None:
        seconds, _ = timed_requests.first_token(self.warm, timed_requests.new_conversation(_PAIRS), "warm")
        self.seconds["fresh 100"].append(seconds)

    def _reaped(self) -> None:
        self.seconds["reaped"].append(timed_requests.seconds_to_reap(self.cold))


_ROWS = (
    ("a process started for the request (cold)", "cold", "cold", None),
    ("a new conversation on a warm process", "fresh", "cold", 5.0),
    ("the next turn of a live conversation", "next", "cold", 12.0),
    (f"{2 * _PAIRS} earlier messages, started (cold)", "cold 100", "cold 100", None),
    (f"{2 * _PAIRS} earlier messages for the first time, warm", "fresh 100", "cold 100", 1.1),
)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each kind is measured (10)")
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True)))
        api = stack.enter_context(servers.simulator(home))
        cold = stack.enter_context(servers.gateway(home / "cold", api, spares=0, max_live=0))
        warm = stack.enter_context(servers.gateway(home / "warm", api, spares=_WARM_PROCESSES, max_live=1))
        bench = Bench(cold, warm)
        timed_requests.first_token(
            cold, timed_requests.new_conversation()
        )  # the first process reads the executable from the disk
        for _ in range(rounds):
            bench.round()
        print(_machine())
        print(_table(bench.seconds, rounds))
        print(_others(bench, cold, warm))


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    cores = sum(line.startswith("processor") for line in _lines("/proc/cpuinfo"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cores} x {model}, {platform.system()} {platform.release()},\n"
        f"Python {platform.python_version()}, dragoman {version('dragoman')}, "
        f"claude-agent-sdk {version('claude-agent-sdk')}, {timed_requests.MODEL} simulated\n"
    )


def _table(seconds: dict[str, list[float]], rounds: int) -> str:
    lines = [
        f"to the first token, median (lowest to highest) of {rounds} rounds | ms | faster than cold | bar",
        "---|---|---|---",
    ]
    for name, kind, against, bar in _ROWS:
        ratio = statistics.median(seconds[against]) / statistics.median(seconds[kind])
        goal = "" if bar is None else f"{bar:g}x {'met' if ratio >= bar else 'MISSED'}"
        lines.append(f"{name} | {_spread(seconds[kind])} | {ratio:.1f}x | {goal}")
    return "\n".join(lines) + "\n"


def _spread(seconds: Sequence[float]) -> str:
    middle, low, high = (1000 * f(seconds) for f in (statistics.median, min, max))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _others(bench: Bench, cold: Served, warm: Served) -> str:
    warm.settle(_WARM_PROCESSES)
    idle = [_memory(pid) for pid in warm.runtimes()]
    own = _memory(warm.pid)
    rates = {
        name: timed_requests.conversations_per_second(served, _CONVERSATIONS, _AT_ONCE)
        for name, served in _named(cold, warm)
    }
    reaped = statistics.median(bench.seconds["reaped"])
    return "\n".join(
        (
            "measurement | value",
            "---|---",
            f"new conversations per second, {_AT_ONCE} at once | {rates['warm']:.1f} (cold: {rates['cold']:.1f})",
            f"memory of an idle process, RSS / PSS | {_median(idle, 0):.0f} / {_median(idle, 1):.0f} MiB",
            f"memory of the gateway itself, RSS / PSS | {own[0]:.0f} / {own[1]:.0f} MiB",
            f"from disconnect to reaped, seconds | {reaped:.3f} (bar: 2 {'met' if reaped <= 2 else 'MISSED'})",  # noqa: PLR2004 - the bar
        )
    )


def _named(cold: Served, warm: Served) -> list[tuple[str, Served]]:
    return [("cold", cold), ("warm", warm)]


def _memory(pid: int) -> tuple[float, float]:
    """Resident and proportional set size, in MiB."""
    sizes = {line.split(":")[0]: line for line in _lines(f"/proc/{pid}/smaps_rollup")}
    rss, pss = (int(sizes[name].split()[1]) * 1024 / _MEBIBYTE for name in ("Rss", "Pss"))
    return rss, pss


def _median(sizes: Sequence[tuple[float, float]], which: int) -> float:
    return statistics.median(size[which] for size in sizes)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
