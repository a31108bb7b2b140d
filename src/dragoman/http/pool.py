"""The connections to one server: how many there are, and which are idle."""

import asyncio
from collections.abc import Awaitable, Callable

from dragoman.http.connection import Connection, ConnectionOwner
from dragoman.http.errors import ConnectionBroken

Dial = Callable[[ConnectionOwner], Awaitable[Connection]]


class ConnectionPool:
    """Owns connections and lends them, the most recently used first.

    Args:
        dial: Creates a connection.
        limit: The maximum number of connections that are lent. Further requests wait.
        keep_alive: Seconds that an idle connection is kept.
    """

    def __init__(self, dial: Dial, *, limit: int, keep_alive: float) -> None:
        self._dial = dial
        self._keep_alive = keep_alive
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._is_closed = False

    @property
    def idle_count(self) -> int:
        """The number of idle connections."""
        return len(self._idle)

    @property
    def busy_count(self) -> int:
        """The number of connections that carry a request."""
        return len(self._busy)

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """Lend a connection. Its `release` or its end returns it.

        Args:
            fresh: Whether to create a new one.

        Raises:
            TransportError: No connection can be made, or the pool is closed.
        """
        self._refuse_if_closed()
        await self._slots.acquire()
        try:
            connection = (None if fresh else self._next_idle()) or await self._dial(self)
        except BaseException:
            self._slots.release()
            raise
        self._busy.add(connection)
        if connection.is_closed:  # while it was handed over
            self.on_closed(connection)
        if self._is_closed:  # while it was connected
            self._close(connection)
        self._refuse_if_closed()
        return connection

    async def aclose(self) -> None:
        """Close all connections and wait for their end. Idempotent."""
        self._is_closed = True
        for connection in [*self._idle, *self._busy]:
            self._close(connection)
        while self._closing:
            await asyncio.wait([connection.closed for connection in self._closing])

    def on_idle(self, connection: Connection) -> None:
        """See `ConnectionOwner`."""
        self._return(connection)
        if self._is_closed:
            self._close(connection)
        else:
            self._idle.append(connection)

    def on_closed(self, connection: Connection) -> None:
        """See `ConnectionOwner`."""
        self._closing.discard(connection)
        self._return(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ConnectionBroken("the gateway is closing its connections", begun=False)

    def _return(self, connection: Connection) -> None:
        if connection in self._busy:
            self._busy.remove(connection)
            self._slots.release()

    def _next_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_idle and not connection.has_expired(self._keep_alive):
                return connection
            self._close(connection)
        return None

    def _close(self, connection: Connection) -> None:
        if not connection.closed.done():
            self._closing.add(connection)
            connection.abort()
