"""One download: every address is checked, redirects are followed by hand, and sizes are limited while reading.

Security rules, all kept here:

- The host of each URL, also of redirects, is checked by `Rules.check` before anything is looked up.
- A name is looked up once. If any of its addresses is not admitted by `Rules.admits`, the URL is refused. The
  connection goes to one of these very addresses; nothing is looked up after the check.
- No proxy, cookie, password or redirect of the HTTP client is used.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from itertools import chain, zip_longest

from yarl import URL

from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import Rules
from dragoman.http.client import HttpClient, HttpResponse, Timeouts
from dragoman.http.dial import Address, TlsContext
from dragoman.http.errors import TransportError

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NO_TIMEOUTS = Timeouts(connect=None, head=None, silence=None)
"""The caller has a deadline for the whole request."""

_HEADERS = f"accept: */*\r\nuser-agent: dragoman/{version('dragoman')}\r\nconnection: close\r\n".encode("latin-1")


@dataclass(slots=True)
class ByteAllowance:
    """Bytes that the files of one request may still have.

    Attributes:
        remaining: For all files together.
        per_file: The maximum size of one file.
    """

    remaining: int
    per_file: int

    def take(self, count: int, file_size: int) -> None:
        """Count bytes of a file.

        Args:
            count: The new bytes.
            file_size: The size of the file with them.

        Raises:
            FetchFailed: The file is too large, or all files together are.
        """
        self.remaining -= count
        if file_size > self.per_file:
            raise FetchFailed(f"The file is larger than {self.per_file} bytes.", code="file_too_large")
        if self.remaining < 0:
            raise FetchFailed("The files of the request are too large together.", code="file_too_large")


class Downloader:
    """Downloads files from admitted addresses. Each download has a connection of its own.

    Args:
        rules: Which URLs and addresses are admitted.
        threads: Look names up.
    """

    def __init__(self, rules: Rules, threads: Executor) -> None:
        self._rules = rules
        self._threads = threads
        self._tls = TlsContext()

    async def download(self, url: str, allowance: ByteAllowance) -> bytes:
        """Download a file. The caller limits the time.

        Raises:
            FetchFailed: It cannot be fetched, or may not be.
        """
        try:
            next_url = URL(url)
            for _ in range(1 + MAX_REDIRECTS):
                self._rules.check(next_url)
                body = await self._get(next_url, allowance)
                if isinstance(body, bytes):
                    return body
                next_url = body
        except (TransportError, OSError):  # before ValueError: a bad certificate is one as well
            raise FetchFailed("The URL could not be fetched: the connection failed.", code="url_unreachable") from None
        except ValueError:
            raise FetchFailed("The URL cannot be read.", code="invalid_url") from None
        raise FetchFailed(f"The URL redirects more than {MAX_REDIRECTS} times.", code="url_unreachable")

    async def _get(self, url: URL, allowance: ByteAllowance) -> bytes | URL:
        """Return the body, or the URL to which the server redirects."""
        client = HttpClient(
            str(url.origin()),
            _HEADERS,
            timeouts=_NO_TIMEOUTS,
            proxied=False,
            resolve=self._resolve,
            tls=self._tls,
        )
        try:
            response = await client.send(b"GET", url.raw_path_qs.encode("ascii"))
            if response.status in _REDIRECTS:
                return url.join(URL(_location(response)))
            return await _read(response, allowance)
        finally:
            await client.aclose()

    async def _resolve(self, host: str, port: int) -> Sequence[Address]:
        """Look a name up. Refuse it if any of its addresses is not admitted: such a name was made to deceive."""
        look_up = partial(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = []
        with suppress(OSError, UnicodeError):
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        addresses = [Address(family, sockaddr) for family, _, _, _, sockaddr in found if isinstance(sockaddr[0], str)]
        if not addresses or not all(self._rules.admits(a.sockaddr[0], a.sockaddr[1]) for a in addresses):
            # The same text for names that do not exist, so that it does not tell which internal names do.
            raise FetchFailed("The host of the URL has no public address.", code="url_not_allowed")
        by_family = ([a for a in addresses if a.family is family] for family in (socket.AF_INET6, socket.AF_INET))
        return [address for address in chain.from_iterable(zip_longest(*by_family)) if address]


def _location(response: HttpResponse) -> str:
    """Return the `Location` header. Some servers send it as UTF-8, against the standard."""
    raw = response.headers.get("location", "").encode("latin-1")
    return raw.decode("utf-8", "surrogateescape")


async def _read(response: HttpResponse, allowance: ByteAllowance) -> bytes:
    if response.status != HTTPStatus.OK:
        raise FetchFailed(
            f"The URL could not be fetched: its server responds with status {response.status}.", code="url_unreachable"
        )
    length = response.headers.get("content-length", "")
    allowance.take(0, int(length) if length.isdecimal() else 0)
    body = bytearray()
    while data := await response.read():
        allowance.take(len(data), len(body) + len(data))
        body += data
    return bytes(body)
