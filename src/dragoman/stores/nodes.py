"""The list of the processes of all nodes."""

from collections.abc import Sequence
from typing import Protocol

from dragoman.core.value_object import value_object


@value_object(kw_only=True)
class NodeRecord:
    """A process of a node.

    Attributes:
        process: Its name among those that share the stores.
        gateway: The name of its gateway: the same for all workers of one.
        address: Host and port at which processes of other nodes reach it.
        version: The version of its program.
        draining: Whether it stops, and takes nothing over.
    """

    process: str
    gateway: str
    address: str
    version: str
    draining: bool = False


class NodeStore(Protocol):
    """Where the processes of all nodes are listed. It works with the clock of the store."""

    async def beat(self, own: NodeRecord) -> Sequence[NodeRecord]:
        """Show a sign of life, and return the other processes that have shown one.

        Raises:
            StoreFailed: The store cannot be used.
        """
        ...
