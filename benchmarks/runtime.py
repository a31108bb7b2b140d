"""Compare the runtime backend with cold processes in one run: `make bench`.

The gateway is measured over HTTP, with the real Claude Code runtime and a scripted API in a process of its own, which
answers within a millisecond whatever the length of the conversation (`api_scripted.py`).
"Cold" is what a program pays without a gateway: the official SDK's `query`, which starts a process, with one short
message. Every bar is compared with it. Measurements take turns in random order. Compare medians and ratios, not
seconds.
"""

import argparse
import platform
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import servers
import timed_requests
from sdk_query import SdkQuery
from servers import Served

_WARM_PROCESSES = 2
_LONG_PROCESSES = 1
_CONVERSATIONS = 24
_AT_ONCE = 4
_MEBIBYTE = 2**20
_LONG = {"100": 50, "400": 200, "1000": 500}
"""Cases of earlier messages: the number of pairs."""
_FLAT_BAR = 1.6
_RUNTIME_VERSION = import_module("claude_agent_sdk._cli_version").__cli_version__


class Bench:
    """The measurements, and their seconds.

    Args:
        sdk: The SDK's `query`.
        cold: A gateway that starts a process for each request.
        warm: A gateway with warm and live processes.
    """

    def __init__(self, sdk: SdkQuery, cold: Served, warm: Served) -> None:
        self.sdk = sdk
        self.cold = cold
        self.warm = warm
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def round(self) -> None:
        """Measure each kind once, in random order."""
        long = [partial(self._first_time, name, pairs, "resume") for name, pairs in _LONG.items()]
        kinds: list[Callable[[], None]] = [
            self._cold,
            self._next_turn,
            partial(self._first_time, "3", 1, "warm"),
            *long,
            self._reaped,
        ]
        random.shuffle(kinds)
        for kind in kinds:
            self.settle()
            kind()

    def settle(self) -> None:
        """Wait until all warm processes are ready."""
        self.warm.settle(_WARM_PROCESSES + _LONG_PROCESSES)

    def _cold(self) -> None:
        self.seconds["cold"].append(self.sdk.first_token("Reply with exactly: cold"))

    def _next_turn(self) -> None:
        messages = timed_requests.new_conversation()
        seconds, text = timed_requests.first_token(self.warm, messages, "warm")
        self.seconds["fresh"].append(seconds)
        self.settle()
        seconds, _ = timed_requests.first_token(self.warm, timed_requests.next_turn(messages, text), "live")
        self.seconds["next"].append(seconds)

    def _first_time(self, name: str, pairs: int, path: str) -> None:
        seconds, _ = timed_requests.first_token(self.warm, timed_requests.new_conversation(pairs), path)
        self.seconds[name].append(seconds)

    def _reaped(self) -> None:
        self.seconds["reaped"].append(timed_requests.seconds_to_reap(self.cold))


_ROWS = (
    ("the SDK's `query`: a process started for the request (cold)", "cold", None),
    ("a new conversation on a warm process", "fresh", 5.0),
    ("the next turn of a live conversation", "next", 12.0),
    ("3 messages for the first time", "3", None),
    ("100 earlier messages for the first time", "100", 2.5),
    ("400 earlier messages for the first time", "400", 2.2),
    ("1,000 earlier messages for the first time", "1000", 2.0),
)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each kind is measured (10)")
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="dragoman-bench-", ignore_cleanup_errors=True)))
        api = stack.enter_context(servers.scripted())
        cold = stack.enter_context(servers.gateway(home / "cold", api, spares=0, max_live=0))
        warm = stack.enter_context(
            servers.gateway(home / "warm", api, spares=_WARM_PROCESSES, max_live=1, long_spares=_LONG_PROCESSES)
        )
        sdk = SdkQuery(home / "sdk", api, timed_requests.MODEL)
        sdk.first_token("Reply with exactly: ready")  # the first process reads the executable from the disk
        bench = Bench(sdk, cold, warm)
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
        f"claude-agent-sdk {version('claude-agent-sdk')} (Claude Code {_RUNTIME_VERSION}), "
        f"{timed_requests.MODEL}, scripted API\n"
    )


def _table(seconds: dict[str, list[float]], rounds: int) -> str:
    lines = [
        f"to the first token, median (lowest to highest) of {rounds} rounds | ms | faster than cold | bar",
        "---|---|---|---",
    ]
    cold = statistics.median(seconds["cold"])
    for name, kind, bar in _ROWS:
        ratio = cold / statistics.median(seconds[kind])
        goal = "" if bar is None else f"{bar:g}x {'met' if ratio >= bar else 'MISSED'}"
        lines.append(f"{name} | {_spread(seconds[kind])} | {ratio:.1f}x | {goal}")
    growth = statistics.median(seconds["1000"]) / statistics.median(seconds["3"])
    met = "met" if growth <= _FLAT_BAR else "MISSED"
    return "\n".join(lines) + f"\n\n1,000 messages take {growth:.2f} times as long as 3 (bar: {_FLAT_BAR:g} {met})\n"


def _spread(seconds: Sequence[float]) -> str:
    middle, low, high = (1000 * f(seconds) for f in (statistics.median, min, max))
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _others(bench: Bench, cold: Served, warm: Served) -> str:
    bench.settle()
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
