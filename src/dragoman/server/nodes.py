"""The other nodes of a cluster: each process shows the others where it is, and learns where they are."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.core.supervise import SupervisedTask, describe
from dragoman.core.value_object import replace
from dragoman.server.peer_channel import CONNECT_SECONDS, Channel, NodeKey, split_address
from dragoman.stores.nodes import NodeRecord, NodeStore

BEAT_SECONDS = 1.0
"""Seconds between two signs of life."""
_IN_NAMES = "~"
"""Is in the name of every process of a cluster, and not in ids of runs and responses."""
_AVOID_SECONDS = 2.0
"""Seconds for which a process that could not be reached in some time is not given the same time again."""


class Nodes:
    """The processes of other nodes, as one process knows them.

    Args:
        store: Where all processes are listed.
        key: Opens connections to them.
        own: This process. An address with the port 0 gets a free port; one of several workers adds its number.
        index: The number of this worker.

    Attributes:
        key: See above.
        own: This process, with its port.
        others: The other processes that are alive, by name. The other workers of this gateway are not among them.
    """

    def __init__(self, store: NodeStore, key: NodeKey, own: NodeRecord, index: int = 0) -> None:
        self.key = key
        self.own = own
        self.others: Mapping[str, NodeRecord] = {}
        self._store = store
        self._index = index
        self._avoided: dict[tuple[str, float], float] = {}
        self._server: asyncio.AbstractServer | None = None
        self._task = SupervisedTask(self._beat, name="nodes", on_failure=_log_failure, max_pause=BEAT_SECONDS)

    async def start(self, accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        """Listen for other nodes, and join them.

        Raises:
            OSError: The port cannot be opened.
        """
        host, port = split_address(self.own.address)
        port += self._index if port else 0
        try:
            self._server = await asyncio.start_server(accept, host, port)
        except OSError:
            # An address that others see and this machine does not have, as behind a container's network.
            self._server = await asyncio.start_server(accept, None, port)
        port = self._server.sockets[0].getsockname()[1]
        self.own = replace(self.own, address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        with suppress(StoreFailed):  # the task repeats it
            await self._look()
        self._task.start()

    async def open(self, process: str, seconds: float = CONNECT_SECONDS) -> Channel:
        """Connect to a process.

        Args:
            process: Its name.
            seconds: How long it may take to accept the connection.

        Raises:
            OSError: It cannot be reached, or is not known, or was not reached just now.
            TimeoutError: It does not accept in time.
        """
        record, now = self.others.get(process), asyncio.get_running_loop().time()
        if record is None or self._avoided.get((process, seconds), 0.0) > now:
            raise ConnectionRefusedError(f"{process} is not alive")
        try:
            return await self.key.connect(record.address, process, seconds)
        except (OSError, TimeoutError):
            self._avoided = {key: until for key, until in self._avoided.items() if until > now}
            self._avoided[process, seconds] = now + _AVOID_SECONDS
            raise

    async def find(self, process: str) -> bool:
        """Return whether a process of another node is alive. One that is not known yet may have just started."""
        if process not in self.others and _IN_NAMES in process:
            with suppress(StoreFailed):
                await self._look()
        return process in self.others

    async def drain(self) -> None:
        """Show that this process stops."""
        self.own = replace(self.own, draining=True)
        with suppress(StoreFailed):
            await self._look()

    def failures(self) -> Mapping[str, str]:
        """Return why the list could not be read; see `supervise.ReportsFailures`."""
        return {"nodes": failure} if (failure := self._task.failure) else {}

    def close_server(self) -> None:
        """Accept no connection any more. Idempotent."""
        if self._server is not None:
            self._server.close()

    async def aclose(self) -> None:
        """Leave the list and stop listening. Idempotent."""
        self.close_server()
        await self._task.aclose()

    async def _beat(self) -> None:
        while True:
            await self._look()
            self._task.recovered()
            await asyncio.sleep(BEAT_SECONDS)

    async def _look(self) -> None:
        records = await self._store.beat(self.own)
        self.others = {record.process: record for record in records if record.gateway != self.own.gateway}


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("nodes.unknown", error=describe(error), again_in=pause)
