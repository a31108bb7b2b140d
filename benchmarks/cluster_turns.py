"""What the next turn of a conversation costs at a random node of three, against one node: in one run, by turns.

The Claude Code runtime holds a conversation in a live process of one node. Three clusters with the same PostgreSQL
server get conversations of several turns: one node, which finds its live process; three nodes, which forward a turn to
the node that holds it; and three nodes that do not, so that a turn at another node is replayed there. The scripted API
answers within a millisecond.

The time is that of the full response. The processor time is that of the nodes and their runtime processes, until the
processes that a replay used up are replaced, without what the same nodes take when idle.
"""

import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import servers
from api_processes import Process
from servers import Served
from timed_requests import full_response, new_conversation, next_turn

_SPARES = 1
_IDLE_SECONDS = 1.0
_SETTLE_SECONDS = 0.25
_POLL_SECONDS = 0.05
_BASE = "one node"
_KINDS = {_BASE: (1, "true"), "a random node of three": (3, "true"), "the same, without forwarding": (3, "false")}
"""The number of nodes, and whether they forward turns, of each cluster."""


class Spent(NamedTuple):
    """The seconds of processor time in some seconds."""

    cpu: float
    seconds: float


@dataclass
class Cluster:
    """The nodes of one database, and what was measured of them.

    Attributes:
        name: Its name in the table.
        nodes: Its nodes.
        idle: Its processor time without requests.
        busy: Its processor time with the next turns of each conversation.
        times: The seconds of each next turn.
        paths: How the next turns were executed (`x-dragoman-path`), with their numbers.
    """

    name: str
    nodes: Sequence[Served]
    idle: list[Spent] = field(default_factory=list)
    busy: list[Spent] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    paths: Counter[str] = field(default_factory=Counter)

    def converse(self, turns: int) -> None:
        """Have a conversation: its first turn, no request for a while, and next turns that are measured."""
        messages = new_conversation()
        _, text, _ = full_response(self.nodes[0], messages)
        self.settle()
        with self._spending(self.idle):
            time.sleep(_IDLE_SECONDS)
        with self._spending(self.busy):
            for _ in range(turns):
                messages = next_turn(messages, text)
                seconds, text, path = full_response(random.choice(self.nodes), messages)
                self.times.append(seconds)
                self.paths[path] += 1
                self.settle()

    def settle(self) -> None:
        """Wait until each node has its warm processes again, and the nodes know what the others hold."""
        while any(node.processes()["spare"] < _SPARES for node in self.nodes):
            time.sleep(_POLL_SECONDS)
        time.sleep(_SETTLE_SECONDS)

    def idle_rate(self) -> float:
        """Return the processor time without requests, in seconds for each second."""
        return sum(spent.cpu for spent in self.idle) / sum(spent.seconds for spent in self.idle)

    def turn_cpu(self, turns: int) -> float:
        """Return the seconds of processor time for one next turn, without what is used when idle."""
        rate = self.idle_rate()
        return statistics.median((spent.cpu - rate * spent.seconds) / turns for spent in self.busy)

    @contextmanager
    def _spending(self, where: list[Spent]) -> Iterator[None]:
        began, before = time.monotonic(), self._processor_time()
        yield
        where.append(Spent(self._processor_time() - before, time.monotonic() - began))

    def _processor_time(self) -> float:
        return sum(Process(node.pid, node.port).cpu() for node in self.nodes)


def print_turns(databases: Sequence[str], key: Mapping[str, str], conversations: int, turns: int) -> None:
    """Measure, and print the table.

    Args:
        databases: The addresses of three databases that are empty.
        key: The variable with the encryption key.
        conversations: How many each cluster gets.
        turns: Next turns of each.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        api = stack.enter_context(servers.scripted())
        clusters = [
            stack.enter_context(_cluster(name, home / str(number), api, {"DRAGOMAN_DATABASE": database, **key}))
            for number, (name, database) in enumerate(zip(_KINDS, databases, strict=True))
        ]
        for _ in range(conversations):
            random.shuffle(clusters)
            for one in clusters:
                one.converse(turns)
    _print_table(sorted(clusters, key=lambda one: list(_KINDS).index(one.name)), turns)


@contextmanager
def _cluster(name: str, home: Path, api: str, env: Mapping[str, str]) -> Iterator[Cluster]:
    """Start the nodes of a cluster, and wait until they know each other."""
    count, forward = _KINDS[name]
    home.mkdir()
    more = {"DRAGOMAN_FORWARD_TURNS": forward, "DRAGOMAN_NODE_ADDRESS": "127.0.0.1:0", **env}
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(servers.gateway(home / str(number), api, spares=_SPARES, max_live=1, more=more))
            for number in range(count)
        ]
        while any(node.count_nodes() < count for node in nodes):
            time.sleep(_POLL_SECONDS)
        yield Cluster(name, nodes)


def _print_table(clusters: Sequence[Cluster], turns: int) -> None:
    base_time, base_cpu = statistics.median(clusters[0].times), clusters[0].turn_cpu(turns)
    for one in clusters:
        p50, cpu = statistics.median(one.times), one.turn_cpu(turns)
        paths = ", ".join(f"{path} {count}" for path, count in sorted(one.paths.items()))
        print(
            f"next turn, {one.name:<28} p50 {p50 * 1000:6.1f} ms   ratio {p50 / base_time:5.2f}   "
            f"{cpu * 1000:6.1f} ms of CPU   ratio {cpu / base_cpu:5.2f}   {paths}   (idle: {one.idle_rate():.3f} cores)"
        )
