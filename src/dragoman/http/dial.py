"""Connecting to a server: name lookup, TLS, and tunnels through proxies."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from dragoman.core.value_object import value_object
from dragoman.http.connection import Connection, ConnectionOwner
from dragoman.http.errors import ConnectFailed
from dragoman.http.proxy import Origin, Proxy

_MAX_HEAD_BYTES = 16 * 1024
_ATTEMPT_SECONDS = 2.0
"""For each address of a resolver but the last, so that one that does not answer does not use up the whole time."""


@value_object
class Address:
    """A numeric address to connect to.

    Attributes:
        family: `AF_INET` or `AF_INET6`.
        sockaddr: As `socket.connect` takes it: IP address and port, and for IPv6 flow and scope.
    """

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Returns the addresses of a host and port to try, in order. What it raises reaches the caller unchanged."""


class TlsContext:
    """A TLS context that is created at the first use, in a thread. Several clients may share it.

    Certificates are checked against the system's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those of
    `NODE_EXTRA_CA_CERTS`, which operators set for Claude Code.
    """

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    async def get(self) -> ssl.SSLContext:
        """Return the context."""
        if self._context is None:
            self._context = await asyncio.to_thread(_create_context)  # reads some hundred certificates
        return self._context


class Dialer:
    """Connects to one server.

    Args:
        origin: The server.
        proxy: The proxy to go through.
        timeout: Seconds for name lookup, connection, proxy and TLS together. None: no limit.
        resolve: Looks up the server's name, instead of the system. Only addresses that it returns are connected to. No
            name is looked up after it. Not with a proxy, which looks names up itself.
        tls: The TLS context.
    """

    def __init__(
        self,
        origin: Origin,
        proxy: Proxy | None,
        *,
        timeout: float | None,
        resolve: Resolve | None = None,
        tls: TlsContext | None = None,
    ) -> None:
        self._origin = origin
        self._proxy = proxy
        self._timeout = timeout
        self._resolve = resolve
        self._tls = tls or TlsContext()

    async def __call__(self, owner: ConnectionOwner) -> Connection:
        """Connect.

        Raises:
            ConnectFailed: With the reason.
        """
        try:
            async with asyncio.timeout(self._timeout):
                if self._proxy and self._origin.tls:
                    return await self._connect_through_tunnel(self._proxy, owner)
                if self._resolve:
                    return await self._connect_to_any(await self._resolve(self._origin.host, self._origin.port), owner)
                target = self._proxy.origin if self._proxy else self._origin
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(owner),
                    target.host,
                    target.port,
                    ssl=await self._tls.get() if target.tls else None,
                )
                return connection
        except TimeoutError:
            raise ConnectFailed("it could not be reached in time") from None
        except OSError as error:
            raise ConnectFailed(_reason(error)) from None
        except (UnicodeError, ValueError):
            raise ConnectFailed("its address cannot be read") from None

    async def _connect_to_any(self, addresses: Sequence[Address], owner: ConnectionOwner) -> Connection:
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(_ATTEMPT_SECONDS):
                    return await self._connect_to(address, owner)
            except OSError:  # TimeoutError is one
                continue
        return await self._connect_to(addresses[-1], owner)

    async def _connect_to(self, address: Address, owner: ConnectionOwner) -> Connection:
        loop = asyncio.get_running_loop()
        context = await self._tls.get() if self._origin.tls else None
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address.sockaddr)
        except BaseException:
            sock.close()
            raise
        _, connection = await loop.create_connection(
            lambda: Connection(owner),
            sock=sock,
            ssl=context,
            server_hostname=self._origin.host.rstrip(".") if context else None,
        )
        return connection

    async def _connect_through_tunnel(self, proxy: Proxy, owner: ConnectionOwner) -> Connection:
        loop, context = asyncio.get_running_loop(), await self._tls.get()
        transport, tunnel = await loop.create_connection(
            _Tunnel, proxy.origin.host, proxy.origin.port, ssl=context if proxy.origin.tls else None
        )
        try:
            await tunnel.open(self._origin.authority, proxy.authorization)
            connection = Connection(owner)
            secure = await loop.start_tls(transport, connection, context, server_hostname=self._origin.host)
        except BaseException:
            transport.abort()
            raise
        if secure is None:  # the proxy closed the connection meanwhile
            raise ConnectionResetError
        connection.connection_made(secure)
        return connection


class _Tunnel(asyncio.Protocol):
    """The connection to a proxy until its tunnel is open."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def open(self, authority: str, authorization: str) -> None:
        """Request a tunnel and wait for it. The caller has a time limit.

        Args:
            authority: Host and port at the other end.
            authorization: The value of `Proxy-Authorization`, or empty.

        Raises:
            ConnectFailed: The proxy refuses, or its response is not one of a proxy.
        """
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if authorization:
            lines.append(f"Proxy-Authorization: {authorization}")
        if self._transport is not None:
            self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        version, _, rest = (await self._head).partition(b" ")
        status = rest[:3].decode("latin-1")
        if not version.startswith(b"HTTP/1.") or not status.isdecimal():
            raise ConnectFailed("its proxy does not respond as a proxy")
        if not status.startswith("2"):
            raise ConnectFailed(f"its proxy refuses with status {status}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connected socket."""
        self._transport = transport  # type: ignore[assignment] # a stream's transport both reads and writes

    def data_received(self, data: bytes) -> None:
        """Take a part of the proxy's response, which has no body."""
        self._received += data
        if b"\r\n\r\n" in self._received:
            self._finish(bytes(self._received))
        elif len(self._received) > _MAX_HEAD_BYTES:
            self._finish(b"")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Take note that the proxy closed the connection."""
        self._finish(b"")

    def _finish(self, head: bytes) -> None:
        if not self._head.done():
            self._head.set_result(head)


def _create_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if more := os.environ.get("NODE_EXTRA_CA_CERTS"):
        with contextlib.suppress(OSError, ssl.SSLError):  # as Claude Code, which ignores a file that it cannot read
            context.load_verify_locations(more)
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
