"""Fetching all URLs of a request."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import ClientSession

from dragoman.errors import GatewayError, InvalidRequest
from dragoman.fetch.base import FetchFailed
from dragoman.fetch.content import source_of
from dragoman.fetch.download import Allowance, download
from dragoman.fetch.rules import Rules
from dragoman.fetch.session import PARALLEL, open_session
from dragoman.media import Placed, check_sizes, url_of

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
