"""Fetching all URLs of a request, and checking the files."""

import asyncio
import base64
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.media import Placed, check_sizes, document_source, image_source, is_complete_image, url_of
from dragoman.core.messages import Block
from dragoman.core.value_object import value_object
from dragoman.fetch.base import FetchFailed
from dragoman.fetch.download import ByteAllowance, Downloader
from dragoman.fetch.rules import Rules

MAX_CONNECTIONS = 8
"""At once, for one request."""

MAX_TOTAL_BYTES = 24 * 2**20
"""Of all files of a request: the API takes requests of 32 MB, and base64 adds a third."""

_LOOKUP_THREADS = 16
"""Names looked up at once, by all requests: a look-up cannot be cancelled, and may be slow."""


@value_object
class FetchOptions:
    """Limits that the operator sets.

    Attributes:
        rules: Where files may be fetched from.
        timeout: Seconds for all files of a request.
        max_bytes: The maximum size of a file.
    """

    rules: Rules
    timeout: float = 10.0
    max_bytes: int = 20 * 2**20


class Fetcher:
    """A `FetchMedia` that fetches. Shared by all requests. Between requests it holds idle threads only.

    The threads are its own: slow name look-ups delay nothing but fetching.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, "fetch-names")
        self._downloader = Downloader(options.rules, self._threads)

    def close(self) -> None:
        """Stop the threads. Idempotent. Nothing may be fetched after it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, media: Sequence[Placed], /) -> None:
        """Replace URLs by the bytes. Each URL is fetched once.

        Raises:
            InvalidRequest: A file cannot be fetched, or the API does not take its kind. `param` names its field.
        """
        by_url: dict[str, list[Placed]] = {}
        for placed in media:
            if url := url_of(placed.block):
                by_url.setdefault(url, []).append(placed)
        if by_url:
            await self._fetch_all(by_url)
            check_sizes(media)

    async def _fetch_all(self, by_url: dict[str, list[Placed]]) -> None:
        allowance = ByteAllowance(MAX_TOTAL_BYTES, self._options.max_bytes)
        deadline = asyncio.get_running_loop().time() + self._options.timeout
        try:
            async with asyncio.TaskGroup() as group:
                remaining = iter(by_url.items())
                for _ in range(min(MAX_CONNECTIONS, len(by_url))):
                    group.create_task(self._fetch_some(remaining, allowance, deadline))
        except ExceptionGroup as failed:
            # The first error has cancelled the other tasks. Their errors tell the client nothing more.
            raise next(
                (e for e in failed.exceptions if not isinstance(e, GatewayError)), failed.exceptions[0]
            ) from None

    async def _fetch_some(
        self, remaining: Iterator[tuple[str, list[Placed]]], allowance: ByteAllowance, deadline: float
    ) -> None:
        """Fetch URLs from an iterator that all tasks share: a task for each URL could be half a million."""
        for url, media in remaining:
            await self._fetch(url, media, allowance, deadline)

    async def _fetch(self, url: str, media: list[Placed], allowance: ByteAllowance, deadline: float) -> None:
        param = media[0].param
        try:
            async with asyncio.timeout_at(deadline):
                data = await self._downloader.download(url, allowance)
            allowance.take(len(data) * (len(media) - 1), 0)  # the request holds it once for each use
        except TimeoutError:
            raise InvalidRequest(
                f"The URL could not be fetched within {self._options.timeout:g} s.", code="url_timeout", param=param
            ) from None
        except FetchFailed as failed:
            raise InvalidRequest(failed.message, code=failed.code, param=param) from None
        for placed in media:
            placed.block["source"] = source_of(data, placed)


def source_of(data: bytes, placed: Placed) -> Block:
    """Return the source of an image or document.

    Raises:
        InvalidRequest: The API does not take its kind, or it is incomplete.
    """
    encoded = base64.b64encode(data).decode()
    if placed.block["type"] != "image":
        return document_source(encoded, placed.param)
    source = image_source(encoded, placed.param)
    if not is_complete_image(data):
        raise InvalidRequest("The image is cut short.", code="invalid_image", param=placed.param)
    return source
