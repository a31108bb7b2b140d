"""A keep in a file: SQLite, values sealed."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from dragoman.stores.seal import Seal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS kept_until ON kept (until);
"""
_BUSY_SECONDS = 10.0

_T = TypeVar("_T")

log = structlog.get_logger("dragoman.stores")


class SQLiteKeep:
    """A keep of one machine; several processes may share its file.

    Args:
        path: The file; its key lies beside it. Both are readable by their owner alone.
        ttl: Seconds that a value is kept.
        entries: The most values; past it the oldest go.
        clock: Seconds since 1970.
    """

    def __init__(self, path: Path, *, ttl: float, entries: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._ttl = ttl
        self._entries = entries
        self._clock = clock
        # One thread owns the connection, and SQLite never blocks the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keep")
        self._connection: sqlite3.Connection | None = None
        self._seal: Seal | None = None

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """See `Keep.get`."""
        return await self._run(lambda: self._get(names), {}) if names else {}

    async def put(self, name: str, value: bytes) -> None:
        """See `Keep.put`."""
        await self._run(lambda: self._put(name, value), None)

    async def aclose(self) -> None:
        """See `Keep.aclose`."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def _run(self, work: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            log.warning("keep.broke", path=str(self._path), error=str(error))
            return otherwise

    def _close(self) -> None:
        self._thread.submit(self._disconnect)
        self._thread.shutdown()

    # In the thread.

    def _get(self, names: Sequence[str]) -> dict[str, bytes]:
        connection, seal = self._opened()
        marks = ",".join("?" * len(names))
        query = f"SELECT name, value FROM kept WHERE until > ? AND name IN ({marks})"  # noqa: S608 - question marks
        rows = connection.execute(query, (self._clock(), *names))
        opened = ((name, seal.opened(value, name)) for name, value in rows)
        return {name: value for name, value in opened if value is not None}

    def _put(self, name: str, value: bytes) -> None:
        connection, seal = self._opened()
        now = self._clock()
        with connection:
            row = (name, seal.closed(value, name), now + self._ttl)
            connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)
            connection.execute("DELETE FROM kept WHERE until <= ?", (now,))
            excess = "SELECT name FROM kept ORDER BY until DESC, rowid DESC LIMIT -1 OFFSET ?"
            connection.execute(f"DELETE FROM kept WHERE name IN ({excess})", (self._entries,))  # noqa: S608 - constant

    def _opened(self) -> tuple[sqlite3.Connection, Seal]:
        if self._connection is None or self._seal is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._seal = Seal.of_file(self._path.with_suffix(".key"))
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
        return self._connection, self._seal

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
