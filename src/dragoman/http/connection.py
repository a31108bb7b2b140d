"""One connection to a server. It carries one request at a time."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from dragoman.core.moving_timer import MovingTimer
from dragoman.http.errors import ConnectionBroken, MalformedResponse
from dragoman.http.response import IncomingResponse

_MAX_UNREAD_BYTES = 256 * 1024
"""With more unread bytes, reading from the socket pauses until they are read."""

_LINGER_SECONDS = 2.0
"""Time for the end of a response that is not read any more. After it the connection is closed instead of reused."""


class ConnectionOwner(Protocol):
    """The pool that owns a connection. Both calls are made synchronously when the state changes."""

    def on_idle(self, connection: "Connection") -> None:
        """Take back a connection that can carry another request."""
        ...

    def on_closed(self, connection: "Connection") -> None:
        """Forget a connection whose socket is closed."""
        ...


class Connection(asyncio.Protocol):
    """A socket and the response that is expected on it.

    Args:
        owner: Is notified when the connection is idle and when it is closed.

    Attributes:
        reused: Whether it has carried a request before. The server may have closed it since.
        closed: Done when the socket is closed.
    """

    def __init__(self, owner: ConnectionOwner) -> None:
        self.reused = False
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._incoming: IncomingResponse | None = None
        self._silence = MovingTimer(self._time_out)
        self._linger: asyncio.TimerHandle | None = None
        self._paused = False
        self._idle_since = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether it can carry a request now."""
        return self._incoming is None and not self.is_closed

    def has_expired(self, keep_alive: float) -> bool:
        """Return whether it has been idle for longer than `keep_alive` seconds."""
        return self._loop.time() - self._idle_since >= keep_alive

    async def send(self, data: Sequence[bytes], seconds: float | None) -> IncomingResponse:
        """Send a request and wait for the head of the response.

        Args:
            data: The complete request, in parts.
            seconds: The time limit until the head. None: no limit.

        Raises:
            TransportError: The head was not received. The connection is closed.
        """
        if self._transport is None or self.is_closed:
            raise ConnectionBroken("the connection broke", begun=False)
        incoming = self._incoming = IncomingResponse(self._on_response_complete, self._silence)
        for part in data:
            self._transport.write(part)
        try:
            await incoming.head(seconds)
        except BaseException:
            await self._close()
            raise
        return incoming

    async def read(self, seconds: float | None) -> bytes:
        """Return the next part of the body. See `IncomingResponse.read`."""
        if self._incoming is None:
            return b""
        data = await self._incoming.read(seconds)
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def release(self, *, settled: bool) -> None:
        """End the request. The connection becomes idle if the response is complete, and is closed if not.

        Args:
            settled: Whether the rest of the response does not matter. Its end is then awaited in the background for a
                short time, so that the connection can be reused.
        """
        incoming = self._incoming
        if incoming is not None and incoming.complete:
            self._end_request()
        elif settled and not self.is_closed and not self._paused:
            self._linger = self._loop.call_later(_LINGER_SECONDS, self.abort)
        else:
            await self._close()

    def abort(self) -> None:
        """Close the socket at once. `closed` is done in a later turn of the loop."""
        if self._transport is not None:
            self._transport.abort()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connected socket."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport both reads and writes

    def data_received(self, data: bytes) -> None:
        """Take bytes. Without a request they make the connection unusable."""
        incoming = self._incoming
        if incoming is None:
            self.abort()
            return
        incoming.feed(data)
        if incoming.unread > _MAX_UNREAD_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Close our side when the server closes its side."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the socket is closed."""
        if self._linger is not None:
            self._linger.cancel()
        self._silence.cancel()
        self._transport = None
        if self._incoming is not None:
            self._incoming.end_of_stream(clean=exc is None)
        if not self.closed.done():
            self.closed.set_result(None)
        self._owner.on_closed(self)

    def _time_out(self) -> None:
        if self._incoming is not None:
            self._incoming.time_out()

    async def _close(self) -> None:
        self.abort()
        await asyncio.shield(self.closed)

    def _on_response_complete(self) -> None:
        if self._linger is not None:
            # In the next turn of the loop: the bytes that are being fed may hold more than the response.
            self._loop.call_soon(self._end_request)

    def _end_request(self) -> None:
        incoming, self._incoming = self._incoming, None
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        if incoming is None:
            return
        if not incoming.complete:
            incoming.fail(MalformedResponse("the request has ended"))
        sent = self._transport is not None and not self._transport.get_write_buffer_size()
        if incoming.complete and incoming.reusable and sent and not self.is_closed and not self._paused:
            self.reused = True
            self._idle_since = self._loop.time()
            self._owner.on_idle(self)
        else:
            self.abort()
