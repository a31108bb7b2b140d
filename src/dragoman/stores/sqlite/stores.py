"""The stores in SQLite files of one directory: the `Stores` of one machine."""

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from dragoman.core.process_identity import ProcessIdentity
from dragoman.stores.base import ResponseStoreLimits
from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.access import SQLiteAccessStore
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore
from dragoman.stores.sqlite.ledger import SQLiteLedger
from dragoman.stores.sqlite.recordings import SQLiteRecordingStore
from dragoman.stores.sqlite.responses import SQLiteResponseStore
from dragoman.stores.sqlite.run_records import SQLiteRunStore


class SQLiteStores:
    """All stores of one machine; see `dragoman.stores.sql.stores.Stores`.

    Args:
        directory: The directory of the files.
    """

    lease_ms = 600_000  # a process that has ended is noticed at once: this is for one that hangs
    node = ""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def process(self) -> str:
        """See `Stores.process`."""
        return str(ProcessIdentity.current())

    def clock(self) -> float:
        """See `Stores.clock`."""
        return time.time()

    def ms(self) -> int:
        """See `Stores.ms`."""
        return time.monotonic_ns() // 1_000_000

    def cipher(self, name: str) -> Cipher:
        """See `Stores.cipher`.

        Raises:
            OSError: The file of the key cannot be read or created.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Cipher.of_file(self._directory / f"{name}.key")

    def access(self) -> SQLiteAccessStore:
        """See `Stores.access`."""
        return SQLiteAccessStore(self._directory / "access.db")

    def key_values(self, *, ttl: float, entries: int) -> SQLiteKeyValueStore:
        """See `Stores.key_values`."""
        return SQLiteKeyValueStore(self._directory / "thinking.db", ttl=ttl, entries=entries)

    def ledger(self, *, simulated: bool = False) -> SQLiteLedger:
        """See `Stores.ledger`."""
        return SQLiteLedger(self._directory / ("simulated-ledger.db" if simulated else "ledger.db"))

    def recordings(self, *, ttl: float, size: int, alive: Callable[[str], bool] | None = None) -> SQLiteRecordingStore:
        """See `Stores.recordings`."""
        return SQLiteRecordingStore(self._directory / "recordings.db", ttl=ttl, size=size, alive=alive)

    def nodes(self) -> None:
        """See `Stores.nodes`."""

    def responses(self, limits: ResponseStoreLimits | None = None) -> SQLiteResponseStore:
        """See `Stores.responses`."""
        return SQLiteResponseStore(self._directory / "answers.db", limits)

    def runs(self, *, ttl: float, entries: int) -> SQLiteRunStore:
        """See `Stores.runs`."""
        return SQLiteRunStore(self._directory / "runs.db", ttl=ttl, entries=entries)

    async def aclose(self) -> None:
        """See `Stores.aclose`. Each store has closed its file."""
