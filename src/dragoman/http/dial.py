"""Asking a proxy for a tunnel, before TLS is spoken through it.

Making connections: names, TLS, and tunnels through proxies.
"""

import asyncio
import socket
import ssl

from dragoman.http.connection import Connection, Owner
from dragoman.http.errors import ConnectFailed
from dragoman.http.proxy import Origin, Proxy

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
            raise ConnectFailed("its proxy does not answer as one")
        if not status.startswith("2"):
            raise ConnectFailed(f"its proxy refuses with status {status}")

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


class Dialer:
    """Connects to one server.

    Certificates are checked against the system's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    Args:
        origin: The server.
        proxy: What leads to it.
        patience: Seconds that name, connection, proxy and TLS may take together.
    """

    def __init__(self, origin: Origin, proxy: Proxy | None, *, patience: float) -> None:
        self._origin = origin
        self._proxy = proxy
        self._patience = patience
        self._context: ssl.SSLContext | None = None

    async def __call__(self, owner: Owner) -> Connection:
        """Connect.

        Raises:
            Unreachable: With the reason.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._connect(owner)
        except TimeoutError:
            raise ConnectFailed("it could not be reached in time") from None
        except OSError as error:
            raise ConnectFailed(_reason(error)) from None
        except (UnicodeError, ValueError):
            raise ConnectFailed("its address cannot be read") from None

    async def _connect(self, owner: Owner) -> Connection:
        if self._proxy and self._origin.tls:
            return await self._through(self._proxy, owner)
        way = self._proxy.origin if self._proxy else self._origin
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(owner), way.host, way.port, ssl=await self._tls() if way.tls else None
        )
        return made

    async def _through(self, proxy: Proxy, owner: Owner) -> Connection:
        loop, context = asyncio.get_running_loop(), await self._tls()
        transport, tunnel = await loop.create_connection(
            Tunnel, proxy.origin.host, proxy.origin.port, ssl=context if proxy.origin.tls else None
        )
        try:
            await tunnel.open(self._origin.authority, proxy.authorization)
            connection = Connection(owner)
            secure = await loop.start_tls(transport, connection, context, server_hostname=self._origin.host)
        except BaseException:
            transport.abort()
            raise
        if secure is None:  # the proxy hung up meanwhile
            raise ConnectionResetError
        connection.connection_made(secure)
        return connection

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(_context)  # reads some hundred certificates
        return self._context


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(error: OSError) -> str:
    match error:
        case socket.gaierror():
            return "its name cannot be looked up"
        case ssl.SSLCertVerificationError():
            return "its TLS certificate is not trusted (SSL_CERT_FILE names further ones)"
        case ssl.SSLError():
            return "TLS failed"
        case ConnectionRefusedError():
            return "the connection was refused"
        case _:
            return "it could not be connected to"
