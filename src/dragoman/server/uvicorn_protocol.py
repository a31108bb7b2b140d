"""Uvicorn's HTTP protocol with fewer writes to the socket: all writes of one event loop iteration become one."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BufferedHttpProtocol(HttpToolsProtocol):
    """One client connection."""

    _buffer: "BufferedTransport"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wrap the transport of a new connection."""
        self._buffer = BufferedTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._buffer))

    def on_response_complete(self) -> None:
        """Send a complete response at once, before it is logged, if no other request is running.

        With several requests this would be slower: then all responses of one loop iteration are written one after
        the other.
        """
        if len(self.tasks) == 1:
            self._buffer.flush()
        super().on_response_complete()


class BufferedTransport:
    """A transport that joins all writes of one event loop iteration: a head and its body, or several events.

    A separate write for each would cost a system call and a packet, and wake the client once more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write the data at the end of this loop iteration."""
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(data)

    def close(self) -> None:
        """Write what is pending, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write what is pending now."""
        pending, self._pending = self._pending, []
        if pending and not self._transport.is_closing():
            self._transport.write(b"".join(pending))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
