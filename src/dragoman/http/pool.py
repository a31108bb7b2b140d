"""The connections to one server: how many, and which are free."""

import asyncio
from collections.abc import Awaitable, Callable

from dragoman.http.connection import Connection, Owner
from dragoman.http.errors import ConnectionBroken

Dial = Callable[[Owner], Awaitable[Connection]]


class ConnectionPool:
    """Keeps connections and lends them, the one used last first.

    Args:
        dial: Makes a connection.
        limit: Connections that are lent at once; who comes later waits for one.
        keep: Seconds that a connection is kept without use.
    """

    def __init__(self, dial: Dial, *, limit: int, keep: float) -> None:
        self._dial = dial
        self._keep = keep
        self._places = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []
        self._lent: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._closed = False

    @property
    def idle_count(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def busy_count(self) -> int:
        """Connections that carry one."""
        return len(self._lent)

    async def take(self, *, fresh: bool = False) -> Connection:
        """Lend a connection; its `release` or its end gives it back.

        Args:
            fresh: Whether it must be a new one.

        Raises:
            TransportError: There is none to be had.
        """
        await self._places.acquire()
        try:
            connection = (None if fresh else self._kept()) or await self._dial(self)
        except BaseException:
            self._places.release()
            raise
        self._lent.add(connection)
        if not connection.open:  # it ended while it was handed over
            self.lost(connection)
        if self._closed:
            self._drop(connection)
            raise ConnectionBroken("the gateway is closing its connections", begun=False)
        return connection

    async def aclose(self) -> None:
        """Close all, and return when they are gone. Idempotent."""
        self._closed = True
        for connection in [*self._idle, *self._lent]:
            self._drop(connection)
        while self._closing:
            await asyncio.wait([connection.gone for connection in self._closing])

    def idle(self, connection: Connection) -> None:
        """A connection can be used again."""
        self._returned(connection)
        if self._closed:
            self._drop(connection)
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self._closing.discard(connection)
        self._returned(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _returned(self, connection: Connection) -> None:
        if connection in self._lent:
            self._lent.remove(connection)
            self._places.release()

    def _kept(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.since < self._keep:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: Connection) -> None:
        if not connection.gone.done():
            self._closing.add(connection)
            connection.abort()
