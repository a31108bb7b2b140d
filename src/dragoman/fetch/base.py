"""The protocol of fetching, its error, and the implementation that fetches nothing."""

from collections.abc import Sequence
from typing import Protocol

from dragoman.core.errors import UnsupportedFeature
from dragoman.core.media import Placed, url_of


class FetchMedia(Protocol):
    """Makes the images and documents of a request ready for the API.

    Sources that are URLs may be replaced in the blocks themselves, so the body must belong to the request. Call it
    once, before the run. If it raises or is cancelled, no connection stays open, and the body must not be used.
    """

    async def __call__(self, media: Sequence[Placed], /) -> None:
        """Replace or check the sources of the media.

        Raises:
            InvalidRequest: A file cannot be fetched. `param` names its field.
        """
        ...


class FetchFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A URL cannot be fetched.

    Attributes:
        message: A sentence for the client. It holds no address, and nothing that a server sent.
        code: The error code.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


async def leave_urls_to_api(media: Sequence[Placed]) -> None:
    """Leave URLs as they are: the API fetches https URLs itself. The `FetchMedia` of a gateway that may not fetch.

    Raises:
        UnsupportedFeature: The API does not fetch this URL.
    """
    for placed in media:
        url = url_of(placed.block)
        if url and not url.lower().startswith("https:"):
            raise UnsupportedFeature(
                "Claude fetches https URLs only. Use one, or send the bytes as a data URL. The gateway itself fetches "
                "http URLs if its operator starts it with `--fetch-urls on`.",
                code="url_not_allowed",
                param=placed.param,
            )
