"""The protocol of an engine: all stores of a gateway, its clock, and the name of its process."""

from collections.abc import Callable
from typing import Protocol

from dragoman.stores.base import ResponseStoreLimits
from dragoman.stores.crypto import Cipher
from dragoman.stores.nodes import NodeStore
from dragoman.stores.sql.access import SQLAccessStore
from dragoman.stores.sql.key_values import SQLKeyValueStore
from dragoman.stores.sql.ledger import SQLLedger
from dragoman.stores.sql.recordings import SQLRecordingStore
from dragoman.stores.sql.responses import SQLResponseStore
from dragoman.stores.sql.run_records import SQLRunStore


class Stores(Protocol):
    """Opens the stores of one engine. The caller closes each store, and this behind them.

    Attributes:
        lease_ms: Milliseconds after which a process that hangs, or whose machine is gone, loses what it has borrowed.
        node: The name of this machine among those that share the stores; "": there is one.
    """

    lease_ms: int
    node: str

    @property
    def process(self) -> str:
        """The name of this process among those that share the stores."""
        ...

    def clock(self) -> float:
        """Return seconds since 1970, the same on all machines."""
        ...

    def ms(self) -> int:
        """Return milliseconds of a clock that all processes share and that is never set."""
        ...

    def cipher(self, name: str) -> Cipher:
        """Return a cipher for one purpose. All processes have the same. It may read or create a file."""
        ...

    def access(self) -> SQLAccessStore:
        """Open the store of keys, teams and the audit log."""
        ...

    def key_values(self, *, ttl: float, entries: int) -> SQLKeyValueStore:
        """Open the store of thinking that is kept for clients; see `SQLKeyValueStore`."""
        ...

    def ledger(self, *, simulated: bool = False) -> SQLLedger:
        """Open the ledger, with the counters of limits and budgets. The simulator has one of its own."""
        ...

    def recordings(self, *, ttl: float, size: int, alive: Callable[[str], bool] | None = None) -> SQLRecordingStore:
        """Open the store of recorded responses; see `SQLRecordingStore`."""
        ...

    def nodes(self) -> "NodeStore | None":
        """Return the list of the processes of all nodes; None: there is one machine."""
        ...

    def responses(self, limits: ResponseStoreLimits | None = None) -> SQLResponseStore:
        """Open the store of responses; see `SQLResponseStore`."""
        ...

    def runs(self, *, ttl: float, entries: int) -> SQLRunStore:
        """Open the store of records of runs; see `SQLRunStore`."""
        ...

    async def aclose(self) -> None:
        """Release what the stores have shared. Idempotent."""
        ...
