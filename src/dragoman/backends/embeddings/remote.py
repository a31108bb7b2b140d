"""A remote endpoint: any that is OpenAI-compatible, or Voyage's."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from dragoman.backends.base import Embedded
from dragoman.backends.embeddings.remote_api import Part, part_of, refusal, request_body
from dragoman.core.errors import ShuttingDown, TimedOut, UnsupportedFeature, UpstreamFailed

_VOYAGE = "voyageai.com"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_PARALLEL = 4
_LARGEST = 128 * 2**20
"""Bytes of one answer: over it no batch of vectors can be."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Which endpoint is asked, and how.

    Attributes:
        url: The base URL (`https://api.openai.com/v1`), with or without `/embeddings` at its end.
        model: The model there, and what clients are told it is called.
        key: Sent as a bearer token.
        batch: Inputs in one question.
        truncate: Whether the endpoint may cut inputs that are too long, where it has a switch for that.
        timeout: Seconds that a request may take.
        voyage: Whether it speaks Voyage's dialect; none: where the host is Voyage's.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    batch: int = 64
    truncate: bool = False
    timeout: float = 120.0
    voyage: bool | None = None


class RemoteEmbedder:
    """The `Embedder` of a remote endpoint. Opens its connections at the first request.

    Args:
        options: Which endpoint, and how.
    """

    def __init__(self, options: RemoteOptions) -> None:
        self.model = options.model
        self._options = options
        base = URL(options.url)
        self._url = base if base.path.rstrip("/").endswith("/embeddings") else base / "embeddings"
        host = base.host or ""
        self._voyage = host == _VOYAGE or host.endswith(f".{_VOYAGE}") if options.voyage is None else options.voyage
        self._session: ClientSession | None = None
        self._asking: set[asyncio.Task[Part]] = set()
        self._closing = False

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Ask for them, batch by batch; see `Embedder`."""
        if self._closing:
            raise ShuttingDown("The gateway is stopping.", retry_after=5)
        self._refuse_tokens(inputs)
        try:
            async with asyncio.timeout(self._options.timeout):
                parts = await self._parts(inputs)
        except TimeoutError:
            seconds = f"{self._options.timeout:g}"
            raise TimedOut(
                f"The embeddings endpoint took longer than {seconds} seconds (--embeddings-timeout)."
            ) from None
        return _together(parts)

    async def aclose(self, grace: float = 0) -> None:
        """See `Embedder`."""
        self._closing = True
        if self._asking:
            await asyncio.wait(set(self._asking), timeout=grace)
        for task in list(self._asking):
            task.cancel()
        if self._asking:
            await asyncio.wait(set(self._asking))
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _parts(self, inputs: Sequence[str | list[int]]) -> list[Part]:
        places = asyncio.Semaphore(_PARALLEL)
        starts = range(0, len(inputs), self._options.batch)
        tasks = [
            asyncio.create_task(self._ask(inputs[start : start + self._options.batch], places)) for start in starts
        ]
        self._asking.update(tasks)
        try:
            return await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            if self._closing:
                raise ShuttingDown("The gateway stopped before the vectors were made.", retry_after=5) from None
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._asking.difference_update(tasks)

    async def _ask(self, inputs: Sequence[str | list[int]], places: asyncio.Semaphore) -> Part:
        body = request_body(self.model, inputs, voyage=self._voyage, truncate=self._options.truncate)
        async with places:
            try:
                proxy = _proxy_for(self._url)
                async with self._opened().post(self._url, data=body, allow_redirects=False, proxy=proxy) as response:
                    return await self._understood(response, len(inputs))
            except ClientError as error:
                said = type(error).__name__
                raise UpstreamFailed(f"The embeddings endpoint cannot be reached ({said}).") from None

    async def _understood(self, response: ClientResponse, count: int) -> Part:
        raw = await _read(response)
        if response.status != HTTPStatus.OK:
            raise refusal(response.status, raw, response.headers.get("retry-after"), self._options.key)
        return part_of(raw, count)

    def _opened(self) -> ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json", "User-Agent": f"dragoman/{version('dragoman')}"}
            if self._options.key:
                headers["Authorization"] = f"Bearer {self._options.key}"
            self._session = ClientSession(
                connector=TCPConnector(limit=2 * _PARALLEL),
                cookie_jar=DummyCookieJar(),
                headers=headers,
                timeout=ClientTimeout(total=None),
            )
        return self._session

    def _refuse_tokens(self, inputs: Sequence[str | list[int]]) -> None:
        if not self._voyage:
            return
        for place, given in enumerate(inputs):
            if not isinstance(given, str):
                param = f"input[{place}]"
                raise UnsupportedFeature(f"`{param}`: Voyage takes text, and no lists of tokens.", param=param)


def _proxy_for(url: URL) -> str | None:
    """The proxy that the environment names, for what is not on this machine.

    The HTTP library's own way to find it would look for passwords in the owner's home as well.
    """
    if url.host in _THIS_MACHINE or proxy_bypass(url.authority):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


async def _read(response: ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        raw += chunk
        if len(raw) > _LARGEST:
            raise UpstreamFailed("The embeddings endpoint's answer has no end.")
    return bytes(raw)


def _together(parts: Sequence[Part]) -> Embedded:
    vectors = [vector for part in parts for vector in part.vectors]
    if len({len(vector) for vector in vectors}) != 1:
        raise UpstreamFailed("The embeddings endpoint sent vectors of different sizes.")
    counts = [part.tokens for part in parts if part.tokens is not None]
    return Embedded(vectors, sum(counts) if len(counts) == len(parts) else None)
