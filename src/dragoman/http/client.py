"""The HTTP client: send requests to one server and read its responses."""

from collections.abc import Callable
from urllib.parse import urlsplit

from dragoman.core.value_object import value_object
from dragoman.http.connection import Connection
from dragoman.http.dial import Dialer, Resolve, TlsContext
from dragoman.http.errors import ConnectionBroken, MalformedResponse
from dragoman.http.pool import ConnectionPool
from dragoman.http.proxy import origin_of, proxy_for
from dragoman.http.response import IncomingResponse

_MIN_SEPARATE_BYTES = 256 * 1024


@value_object
class Timeouts:
    """Time limits in seconds. None: no limit.

    Attributes:
        connect: Until a connection is made.
        head: Until status and headers are received.
        silence: Without a byte after that.
        keep_alive: That an idle connection is kept.
    """

    connect: float | None = 10.0
    head: float | None = 300.0
    silence: float | None = 300.0
    keep_alive: float = 60.0


class HttpResponse:
    """A response whose head was received. The caller closes it.

    Attributes:
        status: The HTTP status.
        headers: By name in lower case. Of several with one name, the last.
        settled: Set by the reader when the rest does not matter. The connection is then reused if the end follows soon.
    """

    __slots__ = ("_connection", "_silence", "headers", "settled", "status")

    def __init__(self, connection: Connection, incoming: IncomingResponse, silence: float | None) -> None:
        self.status = incoming.status
        self.headers = incoming.headers
        self.settled = False
        self._connection = connection
        self._silence = silence

    async def read(self) -> bytes:
        """Return what was received since the last call. Wait if that is nothing. Empty at the end of the body.

        Raises:
            TransportError: The rest was not received.
        """
        return await self._connection.read(self._silence)

    async def body(self, limit: int) -> bytes:
        """Return the whole body.

        Args:
            limit: The maximum number of bytes.

        Raises:
            TransportError: It was not received, or is too large.
        """
        body = bytearray()
        while data := await self.read():
            body += data
            if len(body) > limit:
                raise MalformedResponse("its response is too large")
        return bytes(body)

    async def aclose(self) -> None:
        """Reuse the connection if the body was read or is settled, and close it at once if not."""
        await self._connection.release(settled=self.settled)


class HttpClient:
    """A client of one server. Owns a pool of connections.

    It follows no redirects, keeps no cookies, and decodes no content encoding.

    Args:
        base_url: The server's URL. Its path, if any, is put before every target.
        headers: Header lines of every request, each with its line end.
        timeouts: Time limits.
        limit: The maximum number of connections in use.
        proxied: Whether to use the proxies that the environment names.
        resolve: Looks names up, instead of the system; see `Dialer`. It must go with `proxied=False`.
        tls: A TLS context to share with other clients.

    Raises:
        ConnectFailed: The URL, or that of its proxy, cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the parts of a client
        self,
        base_url: str,
        headers: bytes = b"",
        *,
        timeouts: Timeouts | None = None,
        limit: int = 1000,
        proxied: bool = True,
        resolve: Resolve | None = None,
        tls: TlsContext | None = None,
    ) -> None:
        origin = origin_of(base_url)
        proxy = proxy_for(origin) if proxied else None
        self._timeouts = timeouts or Timeouts()
        self._pool = ConnectionPool(
            Dialer(origin, proxy, timeout=self._timeouts.connect, resolve=resolve, tls=tls),
            limit=limit,
            keep_alive=self._timeouts.keep_alive,
        )
        path = urlsplit(base_url).path.rstrip("/")
        self._prefix = path.encode("latin-1", "replace")
        shared = b"host: " + origin.header.encode("latin-1") + b"\r\naccept-encoding: identity\r\n" + headers
        if proxy and not origin.tls:
            # A proxy for plain HTTP gets the complete URL, and reads the headers itself.
            self._prefix = f"http://{origin.header}".encode("latin-1") + self._prefix
            if proxy.authorization:
                shared += b"proxy-authorization: " + proxy.authorization.encode("latin-1") + b"\r\n"
        self._shared = shared

    @property
    def busy_count(self) -> int:
        """The number of connections that carry a request."""
        return self._pool.busy_count

    @property
    def idle_count(self) -> int:
        """The number of idle connections."""
        return self._pool.idle_count

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: bytes = b"",
        body: bytes = b"",
        on_repeat: Callable[[], object] = lambda: None,
    ) -> HttpResponse:
        """Send a request and wait for the head of the response.

        If a reused connection turns out to be closed before any byte of a response, the request is sent once more on a
        new connection.

        Args:
            method: `GET` or `POST`.
            target: Path and query.
            headers: Further header lines, each with its line end.
            body: The body.
            on_repeat: Called before the request is sent once more. The server may have received the first one.

        Raises:
            TransportError: No response was received.
        """
        length = b"content-length: %d\r\n\r\n" % len(body) if body else b"\r\n"
        head = b"".join((method, b" ", self._prefix, target, b" HTTP/1.1\r\n", self._shared, headers, length))
        # A large body is not copied: that would hold the event loop.
        data = (head + body,) if len(body) < _MIN_SEPARATE_BYTES else (head, body)
        connection = await self._pool.acquire()
        try:
            incoming = await connection.send(data, self._timeouts.head)
        except ConnectionBroken as error:
            if error.begun or not connection.reused:
                raise
            connection = await self._pool.acquire(fresh=True)
            on_repeat()
            incoming = await connection.send(data, self._timeouts.head)
        return HttpResponse(connection, incoming, self._timeouts.silence)

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._pool.aclose()
