"""Asking a proxy for a tunnel, before TLS is spoken through it."""

import asyncio

from dragoman.backends.api.http.errors import Unreachable

_MAX_HEAD = 16 * 1024


class Tunnel(asyncio.Protocol):
    """The connection to a proxy until the tunnel stands."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def open(self, authority: str, authorization: str) -> None:
        """Ask for a tunnel and wait for it; whoever calls has a time limit.

        Args:
            authority: Host and port at its other end.
            authorization: The value of `Proxy-Authorization`, if any.

        Raises:
            Unreachable: The proxy refuses, or does not answer as a proxy does.
        """
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        if self._transport is not None:
            self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        version, _, rest = (await self._answered).partition(b" ")
        status = rest[:3].decode("latin-1")
        if not version.startswith(b"HTTP/1.") or not status.isdecimal():
            raise Unreachable("its proxy does not answer as one")
        if not status.startswith("2"):
            raise Unreachable(f"its proxy refuses with status {status}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The proxy is connected."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport both reads and writes

    def data_received(self, data: bytes) -> None:
        """A part of the proxy's answer, which is a head alone."""
        self._head += data
        if b"\r\n\r\n" in self._head:
            self._settle(bytes(self._head))
        elif len(self._head) > _MAX_HEAD:
            self._settle(b"")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """The proxy hung up."""
        self._settle(b"")

    def _settle(self, head: bytes) -> None:
        if not self._answered.done():
            self._answered.set_result(head)
