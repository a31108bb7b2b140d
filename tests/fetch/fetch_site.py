"""A web site that says what a test wants, byte for byte, and files to put there."""

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
"""Seconds after which a test that waits is broken."""


def png(width: int = 8, height: int = 8, *, filling: int = 0) -> bytes:
    """A PNG as far as its frame goes."""
    header = b"\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
    return b"\x89PNG\r\n\x1a\n" + header + bytes(filling) + b"\x00\x00\x00\x00IEND\xaeB`\x82"


JPEG = b"\xff\xd8\xff\xe0\x00\x04..\xff\xc0\x00\x11\x08" + struct.pack(">HH", 8, 8) + b"....\xff\xd9"
GIF = b"GIF89a" + struct.pack("<HH", 8, 8) + b"....\x00;"
WEBP = b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10)
PDF = b"%PDF-1.1\n%%EOF"


@dataclass
class Page:
    """What stands under a path.

    Attributes:
        body: The bytes.
        status: The status line's number and words.
        headers: Beside the length.
        length: What the headers say of the length; None says nothing, and the end of the connection is the end.
        held: Whether the connection stays open after the body, until the client closes it.
        entered: Set when all that is to be said was said.
        left: Set when the client has closed.
    """

    body: bytes = b""
    status: str = "200 OK"
    headers: Sequence[str] = ()
    length: int | None = -1
    held: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def head(self) -> bytes:
        """Everything before the body."""
        length = len(self.body) if self.length == -1 else self.length
        lines = [f"HTTP/1.1 {self.status}", "Connection: close", *self.headers]
        lines += [] if length is None else [f"Content-Length: {length}"]
        return "\r\n".join([*lines, "", ""]).encode()


def moved(to: str, status: str = "302 Found") -> Page:
    """A redirect."""
    return Page(status=status, headers=[f"Location: {to}"])


class Site:
    """A server on a free port of 127.0.0.1.

    Attributes:
        pages: What it has.
        asked: The requests' heads, in order.
    """

    def __init__(self, scheme: str) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.port = 0
        self._scheme = scheme
        self._serving: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Where a page is."""
        return f"{self._scheme}://{host}:{self.port}{path}"

    async def take(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        page = self.pages.get(head.split()[1], Page(b"nothing here", "404 Not Found"))
        try:
            writer.write(page.head() + page.body)
            await writer.drain()
            page.entered.set()
            if page.held:
                await reader.read()
        finally:
            page.left.set()

    async def over(self) -> None:
        """Wait until every connection is done with: clients close those that are held."""
        if self._serving:
            _, open_still = await asyncio.wait(self._serving, timeout=TIMEOUT)
            assert not open_still


@asynccontextmanager
async def site(tls: SSLContext | None = None) -> AsyncIterator[Site]:
    """Serve a site."""
    made = Site("https" if tls else "http")
    server = await asyncio.start_server(made.take, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
        await made.over()


def fetcher(*hosts: str, timeout: float = TIMEOUT, max_bytes: int = 2**20) -> Fetcher:
    """A fetcher that may fetch from these hosts, or from all public ones."""
    return Fetcher(FetchOptions(Rules(hosts or None), timeout, max_bytes))


def allowed(place: Site, **limits: float) -> Fetcher:
    """A fetcher that may fetch from this site."""
    return fetcher(
        f"127.0.0.1:{place.port}",
        timeout=limits.get("timeout", TIMEOUT),
        max_bytes=int(limits.get("max_bytes", 2**20)),
    )


def image(url: str, param: str = "p") -> Placed:
    """An image by URL."""
    return Placed(param, {"type": "image", "source": {"type": "url", "url": url}})


def document(url: str, param: str = "p") -> Placed:
    """A document by URL."""
    return Placed(param, {"type": "document", "source": {"type": "url", "url": url}, "title": "a"})


def source(placed: Placed) -> Block:
    """What has become of it."""
    found = placed.block["source"]
    assert isinstance(found, dict)
    return found


async def refused(fetch: Fetcher, *media: Placed) -> tuple[str | None, str | None]:
    """The code and field with which media are refused."""
    with pytest.raises(InvalidRequest) as caught:
        await fetch(media)
    return caught.value.code, caught.value.param
