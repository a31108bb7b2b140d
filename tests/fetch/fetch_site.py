"""A web server whose responses a test sets byte by byte, sample files, and helpers for fetching."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

import pytest

from dragoman.core.errors import InvalidRequest
from dragoman.core.media import Placed
from dragoman.core.messages import Block
from dragoman.fetch.fetcher import Fetcher, FetchOptions
from dragoman.fetch.rules import Rules

TIMEOUT = 20
"""Seconds. A test that waits longer has failed."""


def png(width: int = 8, height: int = 8, *, padding: int = 0) -> bytes:
    """Return a PNG file of this size in pixels. It has a header and an end, and `padding` zero bytes between them."""
    header = b"\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
    return b"\x89PNG\r\n\x1a\n" + header + bytes(padding) + b"\x00\x00\x00\x00IEND\xaeB`\x82"


JPEG = b"\xff\xd8\xff\xe0\x00\x04..\xff\xc0\x00\x11\x08" + struct.pack(">HH", 8, 8) + b"....\xff\xd9"
GIF = b"GIF89a" + struct.pack("<HH", 8, 8) + b"....\x00;"
WEBP = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10)
PDF = b"%PDF-1.1\n%%EOF"


@dataclass
class Page:
    """The response for one path.

    Attributes:
        body: The bytes.
        status: The status code and the reason phrase.
        headers: Header lines. `Connection` and `Content-Length` are added.
        length: The value of `Content-Length`. -1: the size of the body. None: no such header, so the body ends with
            the connection.
        stays_open: Whether the connection stays open after the body, until the client closes it.
        sent: Set when the whole response is sent.
        closed: Set when the connection is finished. If it stays open, that is when the client has closed it.
    """

    body: bytes = b""
    status: str = "200 OK"
    headers: Sequence[str] = ()
    length: int | None = -1
    stays_open: bool = False
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def head(self) -> bytes:
        """Return the status line and the headers."""
        length = len(self.body) if self.length == -1 else self.length
        lines = [f"HTTP/1.1 {self.status}", "Connection: close", *self.headers]
        lines += [] if length is None else [f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", ""]).encode()


def redirect(to: str, status: str = "302 Found") -> Page:
    """Return a redirect."""
    return Page(status=status, headers=[f"Location: {to}"])


class Site:
    """A server on a free port of 127.0.0.1.

    Attributes:
        pages: The response for each path. Other paths have the status 404.
        requests: The request line and headers of each request, in order.
    """

    def __init__(self, scheme: str) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[str] = []
        self.port = 0
        self._scheme = scheme
        self._connections: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of a path."""
        return f"{self._scheme}://{host}:{self.port}{path}"

    async def handle(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Handle one connection, which has one request."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._respond(reader, writer)
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def _respond(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        page = self.pages.get(head.split()[1], Page(b"nothing here", "404 Not Found"))
        try:
            writer.write(page.head() + page.body)
            await writer.drain()
            page.sent.set()
            if page.stays_open:
                await reader.read()
        finally:
            page.closed.set()

    async def wait_closed(self) -> None:
        """Wait until every connection is closed. The client must close those that stay open."""
        if self._connections:
            _, still_open = await asyncio.wait(self._connections, timeout=TIMEOUT)
            assert not still_open


@asynccontextmanager
async def serve_site(tls: SSLContext | None = None) -> AsyncIterator[Site]:
    """Serve a site. At the end, check that no connection to it is left open."""
    site = Site("https" if tls else "http")
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    async with server:
        yield site
        await site.wait_closed()


def make_fetcher(*hosts: str, timeout: float = TIMEOUT, max_bytes: int = 2**20) -> Fetcher:
    """Return a fetcher for these hosts, or for all public ones."""
    return Fetcher(FetchOptions(Rules(hosts or None), timeout, max_bytes))


def fetcher_for(site: Site, **limits: float) -> Fetcher:
    """Return a fetcher for this site. The limits are `timeout` and `max_bytes`."""
    return make_fetcher(
        f"127.0.0.1:{site.port}",
        timeout=limits.get("timeout", TIMEOUT),
        max_bytes=int(limits.get("max_bytes", 2**20)),
    )


def image(url: str, param: str = "p") -> Placed:
    """Return an image block with a URL."""
    return Placed(param, {"type": "image", "source": {"type": "url", "url": url}})


def document(url: str, param: str = "p") -> Placed:
    """Return a document block with a URL and a title."""
    return Placed(param, {"type": "document", "source": {"type": "url", "url": url}, "title": "a"})


def source(placed: Placed) -> Block:
    """Return the current source of a block."""
    found = placed.block["source"]
    assert isinstance(found, dict)
    return found


async def fetch_error(fetch: Fetcher, *media: Placed) -> tuple[str | None, str | None]:
    """Fetch media that must be refused. Return the error's `code` and `param`."""
    with pytest.raises(InvalidRequest) as caught:
        await fetch(media)
    return caught.value.code, caught.value.param
