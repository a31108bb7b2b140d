"""A gateway that fetches no URLs."""

import pytest
from fetch_site import document, image, source

from dragoman.core.errors import UnsupportedFeature
from dragoman.fetch.base import leave_urls_to_api


async def test_https_urls_are_left_to_the_api() -> None:
    """HTTPS URLs stay as they are, because the API fetches them."""
    media = [image("https://x.test/a.png"), document("HTTPS://x.test/a.pdf")]
    await leave_urls_to_api(media)
    assert [source(placed)["url"] for placed in media] == ["https://x.test/a.png", "HTTPS://x.test/a.pdf"]


async def test_http_urls_are_refused() -> None:
    """The error names the field of the HTTP URL, and the setting that allows it."""
    with pytest.raises(UnsupportedFeature, match="--fetch-urls on") as caught:
        await leave_urls_to_api([image("https://x.test/a.png"), image("http://x.test/a.png", "messages[0].content[1]")])
    assert (caught.value.code, caught.value.param) == ("url_not_allowed", "messages[0].content[1]")
