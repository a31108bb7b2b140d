"""Fetching all URLs of a request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import ClientSession

from dragoman.errors import GatewayError, InvalidRequest
from dragoman.fetch.base import FetchFailed
from dragoman.fetch.content import source_of
from dragoman.fetch.download import Allowance, download
from dragoman.fetch.rules import Rules
from dragoman.fetch.session import open_session
from dragoman.media import Placed, check_sizes, url_of

TOGETHER = 24 * 2**20
"""Bytes of all files of a request: the API takes 32 MB a request, and base64 makes a third more of them."""


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
    """A `FillMedia` that fetches; shared between requests. It holds nothing between them."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options

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
            async with open_session(self._options.rules) as session, asyncio.TaskGroup() as group:
                for url, wanted in places.items():
                    group.create_task(self._fetch(session, url, wanted, allowance, deadline))
        except ExceptionGroup as failed:
            # The first ended the others. Whatever else came with it says nothing more to the client.
            raise next(
                (e for e in failed.exceptions if not isinstance(e, GatewayError)), failed.exceptions[0]
            ) from None

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
