"""The part of a PostgreSQL server that one store uses: an `SQLDatabase`."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

import psycopg

from dragoman.core.supervise import describe
from dragoman.stores.crypto import Cipher
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.sql.database import Connection, Failed, Syntax, Work

_SYNTAX = Syntax(
    day="to_char(to_timestamp(began) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    has_label="labels::json ->> CAST(? AS TEXT) = ?",
    position="strpos(model, ?)",
    all_rows="LIMIT ALL",
    older="SELECT place FROM runs ORDER BY place DESC LIMIT 1 OFFSET ?",
)
_PROGRAMMING_ERRORS = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.SyntaxError)

_T = TypeVar("_T")


class PostgresDatabase:
    """The tables of one store. Its writes take turns, on all nodes.

    Every error of the server or of the network becomes `StoreFailed`. `failures` reports it until a call succeeds.

    Args:
        server: The server. The caller closes it.
        name: The name of the store. Stores of the same tables have the same name.
        failed: Makes the `StoreFailed` of a call that failed, and logs the reason.
    """

    syntax = _SYNTAX

    def __init__(self, server: PostgresServer, name: str, failed: Failed) -> None:
        self.process = server.process
        self._server = server
        self._name = name
        self._failed = failed
        self._failure: str | None = None
        self._writing = asyncio.Lock()  # waits here, and not in a thread, for writes of the same process

    async def read(self, work: "Work[_T]") -> _T:
        """See `SQLDatabase.read`."""
        return await self._noting_failure(self._server.read(work))

    async def write(self, work: "Work[_T]") -> _T:
        """See `SQLDatabase.write`."""
        async with self._writing:
            return await self._noting_failure(self._server.write(work, self._name))

    async def _noting_failure(self, call: Awaitable[_T]) -> _T:
        try:
            result = await call
        except _PROGRAMMING_ERRORS:
            raise
        except psycopg.Error as error:
            self._failure = describe(error)
            raise self._failed(self._server.place, error) from error
        self._failure = None
        return result

    def exists(self) -> bool:
        """See `SQLDatabase.exists`."""
        return True

    def state(self) -> None:
        """See `SQLDatabase.state`. It is not known."""

    def ended(self, connection: Connection, processes: Sequence[str]) -> list[str]:
        """See `SQLDatabase.ended`."""
        return self._server.ended(connection, processes)

    def cipher(self) -> Cipher:
        """See `SQLDatabase.cipher`. All nodes have the same key."""
        return self._cipher

    @cached_property
    def _cipher(self) -> Cipher:
        return Cipher(self._server.derived_key(self._name))

    def failures(self) -> Mapping[str, str]:
        """See `SQLDatabase.failures`."""
        return {f"store {self._name}": self._failure} if self._failure else {}

    async def aclose(self) -> None:
        """See `SQLDatabase.aclose`. The server is closed on its own."""
