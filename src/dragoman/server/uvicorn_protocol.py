"""Uvicorn's protocol, with one write to the socket where it makes several."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class BufferedHttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _gathering: "BufferedTransport"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """The client is there."""
        self._gathering = BufferedTransport(transport)
        super().connection_made(cast("asyncio.Transport", self._gathering))

    def on_response_complete(self) -> None:
        """The answer is whole. Where no other is in the making it goes out before anything is written down about it.

        Of many it would be slower: then the answers of one turn go out one behind the other.
        """
        if len(self.tasks) == 1:
            self._gathering.flush()
        super().on_response_complete()


class BufferedTransport:
    """A transport that writes what comes in one turn of the loop at once: a head and its body, several events.

    Each write by itself would be a call of the system and a packet, and one more thing for the client to wake up for.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Write it at the end of this turn."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Close, once all is written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write it now."""
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)
