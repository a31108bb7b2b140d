"""Builds what a process knows of the others: workers of the same gateway, other nodes, and what they hold."""

from dragoman import __version__
from dragoman.backends.base import Backend, HoldsConversations
from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.runs.engine import Engine
from dragoman.runs.executor import Dispatcher
from dragoman.server.live_turns import LiveTurns
from dragoman.server.nodes import Nodes
from dragoman.server.peer_channel import NodeKey
from dragoman.server.peers import Peers
from dragoman.stores.nodes import NodeRecord
from dragoman.stores.sql.stores import Stores


class Neighbours:
    """The other processes of the gateway, and the conversations that they hold.

    Args:
        settings: The settings.
        stores: The stores that all nodes share.
        peers: The other workers; None: there are none.
        backend: The backend, or the router over several.
        engine: Executes runs.

    Attributes:
        peers: The other processes, with those of other nodes if they reach this one; None: there are none.
        turns: Which of them holds which conversation; None: turns are answered where they come.
        stopping: Why this process is not ready, if it stops.
    """

    def __init__(
        self, settings: Settings, stores: Stores, peers: Peers | None, backend: Backend | Dispatcher, engine: Engine
    ) -> None:
        self.peers = _join_nodes(settings, stores, peers)
        self.turns: LiveTurns | None = None
        self.stopping: str | None = None
        if self.peers is not None and settings.forward_turns and isinstance(backend, HoldsConversations):
            self.turns = LiveTurns(self.peers, backend, engine, fetches=settings.fetch_urls != ("off",))

    @property
    def nodes(self) -> Nodes | None:
        """Return the processes of other nodes; None: there are no other nodes."""
        return self.peers.nodes if self.peers else None

    @property
    def has_successor(self) -> bool:
        """Return whether another node can take over what is queued here."""
        others = self.nodes.others.values() if self.nodes else ()
        return any(not other.draining for other in others)

    async def start(self) -> None:
        """Listen for the others, and find them.

        Raises:
            BadSettings: The port for other nodes cannot be opened.
            OSError: A socket cannot be opened.
        """
        if self.peers is not None:
            try:
                await self.peers.start()
            except OSError as error:
                if self.nodes is None:
                    raise
                text = f"node_address (--node-address) cannot be used: {error.strerror or error}. Choose another port."
                raise BadSettings(text) from None
        if self.turns is not None:
            self.turns.start()

    async def drain(self) -> None:
        """Be not ready, take no turn of others any more, and show them that this process stops. Idempotent."""
        self.stopping = "The gateway is stopping."
        if self.turns is not None:
            await self.turns.aclose()
        if self.nodes is not None and not self.nodes.own.draining:
            await self.nodes.drain()

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        if self.turns is not None:
            await self.turns.aclose()
        if self.peers is not None:
            await self.peers.aclose()


def _join_nodes(settings: Settings, stores: Stores, peers: Peers | None) -> Peers | None:
    store = stores.nodes()
    if store is None or settings.node_address is None:
        return peers
    peers = peers or Peers(0, 1)
    gateway = f"{stores.node}/{peers.directory.name}" if peers.directory else stores.process
    own = NodeRecord(process=stores.process, gateway=gateway, address=settings.node_address, version=__version__)
    peers.nodes = Nodes(store, NodeKey(stores.cipher("nodes"), stores.process, stores.clock), own, peers.index)
    return peers
