"""Making connections: names, TLS, and tunnels through proxies."""

import asyncio
import socket
import ssl

from dragoman.backends.api.http.connection import Connection, Owner
from dragoman.backends.api.http.errors import Unreachable
from dragoman.backends.api.http.proxies import Origin, Proxy
from dragoman.backends.api.http.tunnel import Tunnel


class Dialler:
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
            raise Unreachable("it could not be reached in time") from None
        except OSError as error:
            raise Unreachable(_reason(error)) from None
        except (UnicodeError, ValueError):
            raise Unreachable("its address cannot be read") from None

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
