"""A PostgreSQL server, as one process uses it: a few connections in threads, its clock, and which processes are alive.

psycopg is used, and not asyncpg: its connections have the interface of `sqlite3`, so that every store is one class for
both engines. A transaction costs nearly the same with both.
"""

import asyncio
import hashlib
import queue
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import psycopg

from dragoman.core.process_identity import ProcessIdentity
from dragoman.stores.postgres.schema import MIGRATIONS, OLDEST_PROGRAM
from dragoman.stores.sql.database import Connection, Cursor, Work

THREADS = 4
"""Connections of one process."""
_CONNECT_SECONDS = 5
_LOST_SECONDS = 10
"""Seconds after which a server that does not answer counts as away."""
_AWAY_SECONDS = 0.5
"""After a connection has failed, calls fail at once for this time, so that they do not queue."""
_BEAT_SECONDS = 3.0
"""Seconds between two signs of life of a process."""
ENDED_SECONDS = 15
"""Seconds without a sign of life after which a process counts as ended."""
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_BEAT = """
INSERT INTO processes (name, seen) VALUES (%s, extract(epoch FROM clock_timestamp()))
ON CONFLICT (name) DO UPDATE SET seen = excluded.seen RETURNING seen
"""
_ALIVE = "SELECT name FROM processes WHERE name = ANY(%s) AND seen > extract(epoch FROM clock_timestamp()) - %s"

_T = TypeVar("_T")


class PostgresServer:
    """A PostgreSQL server. It is connected to at the first call; the tables are created and updated then.

    Threads do all the work, so it never blocks the event loop. The caller closes it after its stores.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, with any parameter of libpq.
        node: The name of this machine among those that share the server.
        key: At least 16 secret bytes, the same for all nodes: what is stored encrypted is encrypted with it.
        schema: The schema of all tables.
        migrations: What this program knows of the tables.

    Attributes:
        place: The address, without a password.
        node: The name of this machine.
        process: The name of this process.
    """

    def __init__(
        self,
        url: str,
        *,
        node: str,
        key: bytes,
        schema: str = "dragoman",
        migrations: Sequence[str] = MIGRATIONS,
    ) -> None:
        parts = urlsplit(url)
        self.place = f"postgresql://{parts.hostname or ''}:{parts.port or 5432}{parts.path}"
        self.node = node
        self.process = f"{node}~{ProcessIdentity.current()}"
        self._url = url
        self._key = key
        self._schema = schema
        self._migrations = migrations
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="postgres")
        self._idle: queue.SimpleQueue[psycopg.Connection[Any]] = queue.SimpleQueue()
        self._is_current = False
        self._away_until = 0.0
        self._next_beat = 0.0
        self._offset = time.time() - time.monotonic()
        self._closing = False

    def with_schema(self, schema: str) -> "PostgresServer":
        """Return the same server with other tables. The caller closes it."""
        return PostgresServer(self._url, node=self.node, key=self._key, schema=schema, migrations=self._migrations)

    def clock(self) -> float:
        """Return the time of the server, in seconds since 1970, as it was last measured. It ignores the own clock."""
        return time.monotonic() + self._offset

    def ms(self) -> int:
        """Return the time of the server in milliseconds."""
        return int(self.clock() * 1000)

    def derived_key(self, name: str) -> bytes:
        """Return 32 bytes that are derived from the key, for one purpose."""
        return hashlib.blake2b(name.encode(), key=self._key[:64], digest_size=32).digest()

    async def read(self, work: "Work[_T]") -> _T:
        """Run a query in a transaction that sees one state. Raises `psycopg.Error`."""
        return await self._run(_READ, work)

    async def write(self, work: "Work[_T]", lock: str) -> _T:
        """Run a transaction, with no other of the same lock on any node. Raises `psycopg.Error`."""
        return await self._run(f"BEGIN; SELECT pg_advisory_xact_lock({self._lock_number(lock)})", work)

    def ended(self, connection: Connection, processes: Sequence[str]) -> list[str]:
        """Return those of some processes that have shown no sign of life for `ENDED_SECONDS`."""
        others = [process for process in processes if process != self.process]
        if not others:
            return []
        raw = cast("_Connection", connection).raw
        alive = {name for (name,) in raw.execute(_ALIVE, (others, ENDED_SECONDS)).fetchall()}
        return [process for process in others if process not in alive]

    async def aclose(self) -> None:
        """Finish the calls that were made, and disconnect. Idempotent. No call may follow."""
        if not self._closing:
            self._closing = True
            self._threads.submit(self._disconnect)
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown))

    async def _run(self, begin: str, work: "Work[_T]") -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._transaction, begin, work)

    # The rest runs in the threads.

    def _transaction(self, begin: str, work: "Work[_T]") -> _T:
        connection = self._begin(begin)
        try:
            result = work(cast("Connection", _Connection(connection)))
            connection.execute("COMMIT")
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            raise
        finally:
            self._release(connection)
        return result

    def _begin(self, begin: str) -> psycopg.Connection[Any]:
        """Begin a transaction. A connection that was lost since its last use is replaced: nothing was sent on it."""
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._connect()
                break
            try:
                self._beat(connection)
                connection.execute(begin)
            except psycopg.OperationalError:
                if not connection.closed:
                    self._release(connection, roll_back=True)
                    raise
            else:
                return connection
        try:
            connection.execute(begin)
        except BaseException:
            connection.close()
            raise
        return connection

    def _release(self, connection: psycopg.Connection[Any], *, roll_back: bool = False) -> None:
        with suppress(psycopg.Error):
            if roll_back:
                connection.execute("ROLLBACK")
            if not connection.closed:
                self._idle.put(connection)
        if self._closing:  # perhaps after the idle ones were closed
            self._disconnect()

    def _connect(self) -> psycopg.Connection[Any]:
        if time.monotonic() < self._away_until:
            raise psycopg.OperationalError(f"{self.place} could not be reached just now")
        try:
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT_SECONDS,
                tcp_user_timeout=_LOST_SECONDS * 1000,
                application_name="dragoman",
            )
        except psycopg.OperationalError:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            raise
        try:
            connection.execute(
                f"SET search_path = {self._schema}; SET client_min_messages = warning; "
                f"SET statement_timeout = '{_LOST_SECONDS}s'; SET lock_timeout = '{_LOST_SECONDS}s'; "
                f"SET idle_in_transaction_session_timeout = '{_LOST_SECONDS}s'"
            )
            if not self._is_current:
                self._migrate(connection)
                self._is_current = True
            self._beat(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _beat(self, connection: psycopg.Connection[Any]) -> None:
        """Show a sign of life if it is time, and measure the server's clock with it."""
        before = time.monotonic()
        if before < self._next_beat:
            return
        self._next_beat = before + _BEAT_SECONDS
        [seen] = connection.execute(_BEAT, (self.process,)).fetchone() or (time.time(),)
        self._offset = float(seen) - (before + time.monotonic()) / 2

    def _migrate(self, connection: psycopg.Connection[Any]) -> None:
        """Update the tables. Of many processes one does so, and the others wait for it."""
        found = connection.execute("SELECT to_regclass('schema_version')").fetchone()
        if found and found[0] and self._version(connection) >= len(self._migrations):
            return
        connection.execute(f"BEGIN; SELECT pg_advisory_xact_lock({self._lock_number('migrations')})")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, oldest_program INTEGER NOT NULL)"
        )
        for number, statements in enumerate(self._migrations, 1):
            if number > self._version(connection):
                connection.execute(statements)
                connection.execute("INSERT INTO schema_version VALUES (%s, %s)", (number, OLDEST_PROGRAM))
        connection.execute("COMMIT")

    def _version(self, connection: psycopg.Connection[Any]) -> int:
        sql = "SELECT coalesce(max(number), 0), coalesce(max(oldest_program), 0) FROM schema_version"
        number, oldest = connection.execute(sql).fetchone() or (0, 0)
        if oldest > len(self._migrations):
            raise psycopg.NotSupportedError(
                f"the tables in {self.place} were changed by a newer version of Dragoman (format {number}, known here: "
                f"{len(self._migrations)}). Run that version"
            )
        return int(number)

    def _lock_number(self, name: str) -> int:
        digest = hashlib.blake2b(f"dragoman/{self._schema}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, signed=True)

    def _disconnect(self) -> None:
        """Close the connections. Others see at once that this process has ended."""
        with suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                with suppress(psycopg.Error):
                    connection.execute("DELETE FROM processes WHERE name = %s", (self.process,))
                connection.close()


class _Connection:
    """A connection that takes question marks for values."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Cursor:
        return self.raw.execute(_placeholders(sql), _without_nul(values)) if values else self.raw.execute(sql)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        cursor = self.raw.cursor()
        cursor.executemany(_placeholders(sql), list(map(_without_nul, rows)))
        return cursor


@lru_cache(1024)
def _placeholders(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def _without_nul(values: Sequence[Any]) -> list[Any]:
    """Return values for PostgreSQL, whose texts cannot hold the character 0."""
    return [value.replace("\0", "\u2400") if isinstance(value, str) else value for value in values]
