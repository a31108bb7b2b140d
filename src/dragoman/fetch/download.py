"""One download: redirects followed by hand, size limits held while it is read."""

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import ClientError, ClientResponse, ClientSession, InvalidURL
from yarl import URL

from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import Rules

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
