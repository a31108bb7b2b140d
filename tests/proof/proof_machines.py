"""What the nodes of a proof run on: network namespaces that can be cut from each other, and clocks that are wrong."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clusters import Machine

_NETWORK = "10.213.77"
_BRIDGE = "dgproof"
_FAKE_TIME = (Path("/usr/lib"), "*/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True)
class Network:
    """The addresses of a cluster.

    Attributes:
        host: The address of the load balancer and of the scripted API.
        redis: The address that Redis listens on; empty: a socket.
        postgres: The address that PostgreSQL listens on; empty: a socket.
        nodes: The addresses of the nodes.
        namespaces: The network namespace of each node; empty: all are on loopback.
        lacking: Why there are no namespaces.
    """

    host: str = "127.0.0.1"
    redis: str = ""
    postgres: str = ""
    nodes: Sequence[str] = ("127.0.0.1",) * 3
    namespaces: Sequence[str] = ()
    lacking: str = ""

    def machine(self, index: int, clock: Mapping[str, str]) -> Machine:
        """Return what a node runs on, given the variables that set its clock."""
        inside = ("ip", "netns", "exec", self.namespaces[index]) if self.namespaces else ()
        return Machine(self.nodes[index], inside, clock)

    def peers(self, index: int) -> Sequence[str]:
        """Return the addresses of the other nodes."""
        return [address for other, address in enumerate(self.nodes) if other != index]

    @contextmanager
    def cut(self, index: int, addresses: Sequence[str]) -> Iterator[None]:
        """Drop every packet between a node and some addresses."""
        rules = [("INPUT", "-s", address, "-j", "DROP") for address in addresses]
        rules += [("OUTPUT", "-d", address, "-j", "DROP") for address in addresses]
        inside = ("ip", "netns", "exec", self.namespaces[index], "iptables", "-w")
        for rule in rules:
            _run(*inside, "-A", *rule)
        try:
            yield
        finally:
            for rule in rules:
                _run(*inside, "-D", *rule)


@dataclass
class Clocks:
    """Clocks of the nodes that are not those of this machine. Their monotonic clocks are.

    Attributes:
        folder: Where their files are.
        variables: The variables that set the clock of each node; empty: libfaketime is not installed.
    """

    folder: Path
    variables: Sequence[Mapping[str, str]] = field(default=({},) * 3)

    @classmethod
    def apart(cls, folder: Path, seconds: Sequence[float]) -> "Clocks":
        """Return clocks that differ from that of this machine by some seconds each; see `step`."""
        clocks = cls(folder)
        for index, offset in enumerate(seconds):
            clocks.step(index, offset)
        fakes = [fake_clock(clocks.file(index)) for index in range(len(seconds))]
        if all(fakes):
            # The file is read once a second. The clock of this machine needs no library.
            more = {"FAKETIME_CACHE_DURATION": "1"}
            clocks.variables = [{**fake, **more} if off else {} for fake, off in zip(fakes, seconds, strict=True)]
        return clocks

    def file(self, index: int) -> Path:
        """Return the file with the difference of a clock."""
        return self.folder / f"clock{index}"

    def step(self, index: int, seconds: float) -> None:
        """Set a clock to a difference from that of this machine."""
        self.file(index).write_text(f"{seconds:+g}\n")


def fake_clock(steps: Path) -> Mapping[str, str]:
    """Return variables for a process whose clock differs by the seconds in a file; nothing without libfaketime."""
    folder, pattern = _FAKE_TIME
    library = next(iter(folder.glob(pattern)), None)
    if library is None:
        return {}
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(steps),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        # Else waits for a lock end too early or too late, and the gateway stops for seconds.
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


@contextmanager
def network() -> Iterator[Network]:
    """Make a network namespace for each node, with a bridge to this machine. Without them: all on loopback."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
        yield Network(lacking="network namespaces need root, `ip` and `iptables`")
        return
    names = [f"{_BRIDGE}{index}" for index in range(3)]
    _remove(names)  # what a proof that was killed has left
    try:
        made = _make(names)
        yield made or Network(lacking="this machine allows no network namespaces")
    finally:
        _remove(names)


def _make(names: Sequence[str]) -> Network | None:
    """Make the namespaces. Return None if one cannot be made."""
    if not _run("ip", "link", "add", _BRIDGE, "type", "bridge"):
        return None
    addresses = {name: f"{_NETWORK}.{11 + index}" for index, name in enumerate(names)}
    commands: list[tuple[str, ...]] = [
        ("ip", "addr", "add", f"{_NETWORK}.{number}/24", "dev", _BRIDGE) for number in (1, 2, 3)
    ]
    commands.append(("ip", "link", "set", _BRIDGE, "up"))
    for name, address in addresses.items():
        link, inside = f"{name}l", ("ip", "-n", name)
        commands += [
            ("ip", "netns", "add", name),
            ("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name),
            ("ip", "link", "set", link, "master", _BRIDGE, "up"),
            (*inside, "addr", "add", f"{address}/24", "dev", "eth0"),
            (*inside, "link", "set", "eth0", "up"),
            (*inside, "link", "set", "lo", "up"),
        ]
    if not all(_run(*command) for command in commands):
        return None
    host, redis, postgres = (f"{_NETWORK}.{number}" for number in (1, 2, 3))
    return Network(host, redis, postgres, list(addresses.values()), names)


def _remove(names: Sequence[str]) -> None:
    for name in names:
        _run("ip", "netns", "del", name)
    _run("ip", "link", "del", _BRIDGE)


def _run(*command: str) -> bool:
    """Run a command of the system. Return whether it succeeded."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603 - of the system
