"""One connection to the server: one exchange after the other."""

import asyncio
from typing import Protocol

from dragoman.http.errors import ConnectionBroken, MalformedResponse
from dragoman.http.response import IncomingResponse

_MUCH = 256 * 1024
"""Bytes unread at which the server is not listened to any more, until they are read."""

_LINGER = 2.0
"""Seconds in which the end of a response that nobody reads any more must come for the connection to be kept."""


class Owner(Protocol):
    """Who keeps a connection."""

    def idle(self, connection: "Connection") -> None:
        """The connection can be used again."""
        ...

    def lost(self, connection: "Connection") -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """A socket, told of by asyncio, and the response that is due on it.

    Args:
        owner: Who is told when it can be used again and when it is gone.

    Attributes:
        used: Whether it has carried an exchange before: the server may have closed it meanwhile.
        since: When it became idle, by the loop's clock.
        gone: Done when the socket is closed.
    """

    def __init__(self, owner: Owner) -> None:
        self.used = False
        self.since = 0.0
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._incoming: IncomingResponse | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._paused = False

    @property
    def open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, data: bytes, patience: float) -> IncomingResponse:
        """Send a request and wait for the head of the response.

        Args:
            data: The whole request.
            patience: Seconds to wait.

        Raises:
            TransportError: It does not come; the connection is closed.
        """
        if self._transport is None or not self.open:
            raise ConnectionBroken("the connection broke", begun=False)
        incoming = self._incoming = IncomingResponse(self._whole)
        self._transport.write(data)
        try:
            await incoming.head(patience)
        except BaseException:
            await self._end()
            raise
        return incoming

    async def read(self, patience: float) -> bytes:
        """Read on in the body; see `Incoming.read`."""
        if self._incoming is None:
            return b""
        data = await self._incoming.read(patience)
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def release(self, *, settled: bool) -> None:
        """End the exchange: the connection goes back to its owner if the response has come, and is closed if not.

        Args:
            settled: The response holds nothing more of interest: wait for its end behind the scenes for a moment.
        """
        incoming = self._incoming
        if incoming is not None and incoming.complete:
            self._give_back()
        elif settled and self.open and not self._paused:
            self._linger = self._loop.call_later(_LINGER, self.abort)
        else:
            await self._end()

    def abort(self) -> None:
        """Close at once. `gone` is done a moment later."""
        if self._transport is not None:
            self._transport.abort()

    # What follows is for asyncio and for the response.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport both reads and writes

    def data_received(self, data: bytes) -> None:
        """Bytes came; while nothing is due they are of no use, and nothing after them would be either."""
        incoming = self._incoming
        if incoming is None:
            self.abort()
            return
        incoming.feed(data)
        if incoming.unread > _MUCH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The server says no more: neither do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        if self._linger is not None:
            self._linger.cancel()
        self._transport = None
        if self._incoming is not None:
            self._incoming.cut(clean=exc is None)
        if not self.gone.done():
            self.gone.set_result(None)
        self._owner.lost(self)

    async def _end(self) -> None:
        self.abort()
        await asyncio.shield(self.gone)

    def _whole(self) -> None:
        if self._linger is not None:
            # In the next turn of the loop: the bytes that are being fed may hold more than the response.
            self._loop.call_soon(self._give_back)

    def _give_back(self) -> None:
        incoming, self._incoming = self._incoming, None
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if incoming is None:
            return
        incoming.fail(MalformedResponse("the exchange has ended"))
        sent = self._transport is not None and not self._transport.get_write_buffer_size()
        if incoming.complete and incoming.reusable and sent and self.open and not self._paused:
            self.used = True
            self.since = self._loop.time()
            self._owner.idle(self)
        else:
            self.abort()
