"""Fetching nothing: the API fetches https URLs by itself."""

from collections.abc import Sequence

from dragoman.errors import UnsupportedFeature
from dragoman.media import Placed, url_of


async def leave_to_api(media: Sequence[Placed]) -> None:
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
