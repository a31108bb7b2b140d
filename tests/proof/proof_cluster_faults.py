"""The faults of `make proof ARGS=--cluster`: one after the other, while clients send requests."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TypeAlias

from clusters import Cluster
from engine_fixtures import Postgres, RedisProcess
from proof_cluster_clients import Tally
from proof_machines import Clocks, Network

_PAUSE_SECONDS = 1.5
_FAULT_SECONDS = (0.5, 2.5)
_LOOK_SECONDS = 0.005
_STEPS = (-600.0, 7200.0, 0.0, -86_000.0, 30.0, 86_000.0)
Fault: TypeAlias = Callable[[], Awaitable[None]]


class Faults:
    """Makes faults.

    Args:
        made: The cluster.
        net: Its network.
        clocks: The clocks of its nodes.
        engines: PostgreSQL and Redis.
        tally: Knows what is under way, and counts the faults.
        rng: Chooses.
    """

    def __init__(
        self,
        made: Cluster,
        net: Network,
        clocks: Clocks,
        engines: tuple[Postgres, RedisProcess],
        tally: Tally,
        rng: random.Random,
    ) -> None:
        self._made = made
        self._net = net
        self._clocks = clocks
        self._postgres, self._redis = engines
        self._tally = tally
        self._rng = rng
        self._is_over = False

    async def make_all(self) -> None:
        """Make one fault after the other until cancelled. One that has begun is ended."""
        faults = self._all()
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            name = self._rng.choices(list(faults), [weight for weight, _ in faults.values()])[0]
            task = asyncio.ensure_future(faults[name][1]())
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                self._is_over = True
                await task
                raise
            self._tally.faults[name] += 1

    def _all(self) -> dict[str, tuple[int, Fault]]:
        """Return the faults that can be made here, each with its weight."""
        kinds = ("stream", "tool call", "job")
        faults: dict[str, tuple[int, Fault]] = {
            f"node killed in a {kind}": (4, partial(self._kill_during, kind)) for kind in kinds
        }
        faults |= {
            "node killed": (2, lambda: self._kill(self._any())),
            "node hangs": (2, self._hang),
            "node replaced": (2, self._replace),
            "Redis flushed": (2, self._flush_redis),
            "Redis stopped, and empty then": (2, self._replace_redis),
            "PostgreSQL restarted": (2, self._restart_postgres),
        }
        if self._net.namespaces:
            net = self._net
            faults |= {
                "node cut off from Redis": (2, lambda: self._cut([self._any()], [net.redis])),
                "Redis cut off from all nodes": (1, lambda: self._cut(range(3), [net.redis])),
                "node cut off from PostgreSQL": (2, lambda: self._cut([self._any()], [net.postgres])),
                "node cut off from the other nodes": (2, self._cut_peers),
            }
        if any(self._clocks.variables):
            faults["clock set"] = (2, self._set_clock)
        return faults

    def _any(self) -> int:
        return self._rng.randrange(3)

    def _seconds(self) -> float:
        return self._rng.uniform(*_FAULT_SECONDS)

    async def _kill(self, index: int) -> None:
        self._made.nodes[index].kill()
        await self._made.nodes[index].wait()
        await self._made.start(index)

    async def _kill_during(self, kind: str) -> None:
        """Kill the node that answers a request of some kind now."""
        while not self._is_over:
            found = [node for what, node in self._tally.under_way.values() if what == kind and node >= 0]
            if found:
                await self._kill(self._rng.choice(found))
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _hang(self) -> None:
        node = self._made.nodes[self._any()]
        node.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._seconds())
        finally:
            node.send_signal(signal.SIGCONT)

    async def _replace(self) -> None:
        index = self._any()
        await self._made.stop(index)
        await self._made.start(index)

    async def _flush_redis(self) -> None:
        where = ["-h", self._redis.host] if self._redis.host else ["-s", str(self._redis.folder / "redis.sock")]
        await asyncio.to_thread(subprocess.run, ["redis-cli", *where, "flushall"], check=True, capture_output=True)

    async def _replace_redis(self) -> None:
        self._redis.stop()
        await asyncio.sleep(self._seconds())
        await asyncio.to_thread(self._redis.start)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.control, "-m", "fast", "restart")

    async def _cut(self, nodes: Sequence[int], addresses: Sequence[str]) -> None:
        with ExitStack() as stack:
            for index in nodes:
                stack.enter_context(self._net.cut(index, addresses))
            await asyncio.sleep(self._seconds())

    async def _cut_peers(self) -> None:
        index = self._any()
        await self._cut([index], self._net.peers(index))

    async def _set_clock(self) -> None:
        self._clocks.step(2, self._rng.choice(_STEPS))
