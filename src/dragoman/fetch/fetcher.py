"""What was fetched, as the source of a block.

An HTTP client that connects to admitted addresses only.

One download: redirects followed by hand, size limits held while it is read.

Fetching all URLs of a request.
"""

import asyncio
import base64
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.metadata import version

from aiohttp import (
    AddrInfoType,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.media import Placed, check_sizes, document_source, image_source, url_of
from dragoman.core.messages import Block
from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import Rules

_ENDS = {"image/png": b"IEND", "image/jpeg": b"\xff\xd9", "image/gif": b"\x00;"}
"""What stands at the end of whole images. Cameras and editors put more behind it, so it is looked for anywhere."""

_RIFF_HEADER = 8


def source_of(data: bytes, placed: Placed) -> Block:
    """The source of an image or document.

    Raises:
        InvalidRequest: It is not of a kind that the API takes, or not whole.
    """
    encoded = base64.b64encode(data).decode()
    if placed.block["type"] != "image":
        return document_source(encoded, placed.param)
    source = image_source(encoded, placed.param)
    if not _whole(data, str(source["media_type"])):
        raise InvalidRequest("The image is cut short.", code="invalid_image", param=placed.param)
    return source


def _whole(data: bytes, media_type: str) -> bool:
    if media_type == "image/webp":
        return len(data) >= int.from_bytes(data[4:_RIFF_HEADER], "little") + _RIFF_HEADER
    return _ENDS[media_type] in data


PARALLEL = 8
"""Connections at once for one request."""


def open_session(rules: Rules, threads: Executor) -> ClientSession:
    """Make a client for one request; whoever makes it closes it.

    It knows no proxy, cookie or password, follows no redirect by itself, and has no time limit of its own.

    Args:
        rules: Where it may connect to.
        threads: Look names up.
    """

    def checked_socket(info: AddrInfoType) -> socket.socket:
        """Make a socket for the very address that is connected to; no name is looked up after this."""
        family, kind, proto, _, address = info
        if not rules.admits(str(address[0]), int(address[1])):
            raise _not_public()
        return socket.socket(family, kind, proto)

    connector = TCPConnector(
        resolver=_CheckedResolver(rules, threads),
        socket_factory=checked_socket,
        limit=PARALLEL,
        use_dns_cache=False,
        force_close=True,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": f"dragoman/{version('dragoman')}"},
        auto_decompress=False,
        timeout=ClientTimeout(total=None),
        trust_env=False,
    )


class _CheckedResolver(AbstractResolver):
    """Looks names up, and refuses those of which any address is not admitted: such a name was made to deceive."""

    def __init__(self, rules: Rules, threads: Executor) -> None:
        self._rules = rules
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up."""
        try:
            look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except (OSError, UnicodeError):
            raise _not_public() from None
        if not found or not all(self._rules.admits(str(address[0]), int(address[1])) for *_, address in found):
            raise _not_public()
        return [_result(host, info) for info in found]

    async def close(self) -> None:
        """Nothing is held."""


def _result(name: str, info: AddrInfoType) -> ResolveResult:
    family, _, proto, _, address = info
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    host, port = str(address[0]), int(address[1])
    return ResolveResult(hostname=name, host=host, port=port, family=family, proto=proto, flags=flags)


def _not_public() -> FetchFailed:
    """One text for names that do not exist and names that are not public, so that nobody learns which are which."""
    return FetchFailed("The host of the URL has no public address.", code="url_not_allowed")


MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(slots=True)
class Allowance:
    """Bytes that the files of one request may still have together.

    Attributes:
        left: The bytes.
        each: The most that one file may have.
    """

    left: int
    each: int

    def take(self, count: int, so_far: int) -> None:
        """Count bytes of a file.

        Raises:
            FetchFailed: They are too many.
        """
        self.left -= count
        if so_far > self.each:
            raise FetchFailed(f"The file is larger than {self.each} bytes.", code="file_too_large")
        if self.left < 0:
            raise FetchFailed("The files of the request are too large together.", code="file_too_large")


async def download(session: ClientSession, url: str, rules: Rules, allowance: Allowance) -> bytes:
    """Fetch a file.

    Raises:
        FetchFailed: It cannot be had, or may not be.
    """
    try:
        return await _follow(session, URL(url), rules, allowance)
    except InvalidURL:
        raise FetchFailed("The URL cannot be read.", code="invalid_url") from None
    except (ClientError, OSError):  # a bad certificate is a ValueError as well
        raise FetchFailed("The URL could not be fetched: the connection failed.", code="url_unreachable") from None
    except ValueError:
        raise FetchFailed("The URL cannot be read.", code="invalid_url") from None


async def _follow(session: ClientSession, url: URL, rules: Rules, allowance: Allowance) -> bytes:
    for _ in range(1 + MAX_REDIRECTS):
        rules.check(url)
        async with session.get(url, allow_redirects=False) as answer:
            if answer.status not in _REDIRECTS:
                return await _read(answer, allowance)
            url = url.join(URL(answer.headers.get("Location", "")))
    raise FetchFailed(f"The URL redirects more than {MAX_REDIRECTS} times.", code="url_unreachable")


async def _read(answer: ClientResponse, allowance: Allowance) -> bytes:
    if answer.status != HTTPStatus.OK:
        raise FetchFailed(f"The URL could not be fetched: its server answers {answer.status}.", code="url_unreachable")
    allowance.take(0, answer.content_length or 0)
    body = bytearray()
    async for chunk in answer.content.iter_any():
        allowance.take(len(chunk), len(body) + len(chunk))
        body += chunk
    return bytes(body)


TOGETHER = 24 * 2**20
"""Bytes of all files of a request: the API takes 32 MB a request, and base64 makes a third more of them."""

_THREADS = 16
"""Names looked up at once, by all requests: a look-up cannot be ended, and a name server may take its time."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What the owner allows.

    Attributes:
        rules: Where files may come from.
        timeout: Seconds until the files of a request must all be there.
        max_bytes: The largest file.
    """

    rules: Rules
    timeout: float = 10.0
    max_bytes: int = 20 * 2**20


class Fetcher:
    """A `FillMedia` that fetches; shared between requests. Between them it holds idle threads alone.

    They are its own, so that slow names hold up nothing but what is fetched.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._threads = ThreadPoolExecutor(_THREADS, "fetch-names")

    def close(self) -> None:
        """Let go of the threads. Idempotent; nothing may be fetched after it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, media: Sequence[Placed], /) -> None:
        """Put the bytes in the place of the URLs, each URL fetched once.

        Raises:
            InvalidRequest: A file cannot be had or is not of a kind that the API takes; `param` names its field.
        """
        places: dict[str, list[Placed]] = {}
        for placed in media:
            if url := url_of(placed.block):
                places.setdefault(url, []).append(placed)
        if places:
            await self._fetch_all(places)
            check_sizes(media)

    async def _fetch_all(self, places: dict[str, list[Placed]]) -> None:
        allowance = Allowance(TOGETHER, self._options.max_bytes)
        deadline = asyncio.get_running_loop().time() + self._options.timeout
        try:
            async with open_session(self._options.rules, self._threads) as session, asyncio.TaskGroup() as group:
                left = iter(places.items())
                for _ in range(min(PARALLEL, len(places))):
                    group.create_task(self._fetch_some(session, left, allowance, deadline))
        except ExceptionGroup as failed:
            # The first ended the others. Whatever else came with it says nothing more to the client.
            raise next(
                (e for e in failed.exceptions if not isinstance(e, GatewayError)), failed.exceptions[0]
            ) from None

    async def _fetch_some(
        self, session: ClientSession, left: Iterator[tuple[str, list[Placed]]], allowance: Allowance, deadline: float
    ) -> None:
        """Fetch one after the other of those that are left to all: a task for each could be half a million."""
        for url, wanted in left:
            await self._fetch(session, url, wanted, allowance, deadline)

    async def _fetch(
        self, session: ClientSession, url: str, wanted: list[Placed], allowance: Allowance, deadline: float
    ) -> None:
        param = wanted[0].param
        try:
            async with asyncio.timeout_at(deadline):
                data = await download(session, url, self._options.rules, allowance)
            allowance.take(len(data) * (len(wanted) - 1), 0)  # it stands in the body as often as it is asked for
        except TimeoutError:
            raise InvalidRequest(
                f"The URL could not be fetched within {self._options.timeout:g} s.", code="url_timeout", param=param
            ) from None
        except FetchFailed as failed:
            raise InvalidRequest(failed.message, code=failed.code, param=param) from None
        for placed in wanted:
            placed.block["source"] = source_of(data, placed)
