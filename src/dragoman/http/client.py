"""Sending requests to one server, and reading what it answers."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from dragoman.http.connection import Connection
from dragoman.http.dial import Dialer
from dragoman.http.errors import ConnectionBroken, MalformedResponse
from dragoman.http.pool import ConnectionPool
from dragoman.http.proxy import origin_of, proxy_for
from dragoman.http.response import IncomingResponse


@dataclass(frozen=True, slots=True)
class Timeouts:
    """What is borne.

    Attributes:
        connect: Seconds until a connection stands.
        head: Seconds until status and headers have come.
        silence: Seconds without a byte after that.
        keep: Seconds that a connection is kept without use.
    """

    connect: float = 10.0
    head: float = 300.0
    silence: float = 300.0
    keep: float = 60.0


class HttpResponse:
    """A response whose head has come. Whoever has it calls `aclose`.

    Attributes:
        status: The HTTP status.
        headers: By names in lower case.
        settled: Whether all that matters was read, which its reader says: the connection is then kept if the very end
            comes soon.
    """

    __slots__ = ("_connection", "_silence", "headers", "settled", "status")

    def __init__(self, connection: Connection, incoming: IncomingResponse, silence: float) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self.settled = False
        self._connection = connection
        self._silence = silence

    async def read(self) -> bytes:
        """What has come since the last call; waits for some, and is empty at the end.

        Raises:
            TransportError: The rest does not come.
        """
        return await self._connection.read(self._silence)

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Args:
            limit: Bytes that are taken.

        Raises:
            TransportError: It does not come, or is too large.
        """
        whole = bytearray()
        while data := await self.read():
            whole += data
            if len(whole) > limit:
                raise MalformedResponse("its answer is too large")
        return bytes(whole)

    async def aclose(self) -> None:
        """Keep the connection for the next request if all was read or is settled, else close it at once."""
        await self._connection.release(settled=self.settled)


class HttpClient:
    """A pooled client of one server. Owns its connections.

    Args:
        base_url: The server's URL, with a path that comes before every target, if it has one.
        headers: Header lines that go with every request.
        patience: Time limits.
        limit: Connections at once.

    Raises:
        Unreachable: The URL, or that of the proxy that leads there, cannot be used.
    """

    def __init__(self, base_url: str, headers: bytes, *, patience: Timeouts | None = None, limit: int = 1000) -> None:
        origin = origin_of(base_url)
        proxy = proxy_for(origin)
        self._patience = patience or Timeouts()
        self._pool = ConnectionPool(
            Dialer(origin, proxy, patience=self._patience.connect), limit=limit, keep=self._patience.keep
        )
        path = urlsplit(base_url).path.rstrip("/")
        self._prefix = path.encode("latin-1", "replace")
        shared = b"host: " + origin.header.encode("latin-1") + b"\r\naccept-encoding: identity\r\n" + headers
        if proxy and not origin.tls:
            # A proxy for plain HTTP is asked for the whole URL, and reads the headers itself.
            self._prefix = f"http://{origin.header}".encode("latin-1") + self._prefix
            if proxy.authorization:
                shared += b"proxy-authorization: " + proxy.authorization.encode("latin-1") + b"\r\n"
        self._shared = shared

    @property
    def busy_count(self) -> int:
        """Connections that carry a request."""
        return self._pool.busy_count

    @property
    def idle_count(self) -> int:
        """Connections that wait for one."""
        return self._pool.idle_count

    async def send(self, method: bytes, target: bytes, headers: bytes, body: bytes = b"") -> HttpResponse:
        """Send a request and wait for the head of the response.

        A kept connection that turns out to be closed, before any byte of a response, is replaced by a new one, once.

        Args:
            method: `GET` or `POST`.
            target: Path and query.
            headers: Further header lines, each with its line end.
            body: The body.

        Raises:
            TransportError: There is no response.
        """
        length = b"content-length: %d\r\n\r\n" % len(body) if body else b"\r\n"
        data = b"".join(
            (method, b" ", self._prefix, target, b" HTTP/1.1\r\n", self._shared, headers, length, body),
        )
        connection = await self._pool.take()
        try:
            return await self._exchange(connection, data)
        except ConnectionBroken as error:
            if error.begun or not connection.used:
                raise
        return await self._exchange(await self._pool.take(fresh=True), data)

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._pool.aclose()

    async def _exchange(self, connection: Connection, data: bytes) -> HttpResponse:
        return HttpResponse(connection, await connection.ask(data, self._patience.head), self._patience.silence)
