"""What filling a request's media is, and how fetching fails.

Fetching nothing: the API fetches https URLs by itself.
"""

from collections.abc import Sequence
from typing import Protocol

from dragoman.core.errors import UnsupportedFeature
from dragoman.core.media import Placed, url_of


class FetchMedia(Protocol):
    """Makes the images and documents of a request ready for the API.

    Sources that are URLs may be replaced in the blocks themselves, so the body must be the request's own. Call it once,
    before the run; where it raises or is cancelled, nothing stays open and the body is not to be used.
    """

    async def __call__(self, media: Sequence[Placed], /) -> None:
        """Fill the media.

        Raises:
            InvalidRequest: One cannot be had; `param` names its field.
        """
        ...


class FetchFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A URL cannot be had.

    Attributes:
        message: A sentence for the client. Holds no address and nothing of what a server said.
        code: A short machine-readable word.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


async def leave_urls_to_api(media: Sequence[Placed]) -> None:
    """Leave URLs as they are; the `FillMedia` of a gateway that may not fetch.

    Raises:
        UnsupportedFeature: The API does not fetch this URL.
    """
    for placed in media:
        url = url_of(placed.block)
        if url and not url.lower().startswith("https:"):
            raise UnsupportedFeature(
                "Claude fetches https URLs only. Use one, or send the bytes as a data URL; the gateway itself fetches "
                "http URLs where its owner starts it with `--fetch-urls on`.",
                code="url_not_allowed",
                param=placed.param,
            )
