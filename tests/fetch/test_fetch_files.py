"""Files as they are fetched, and what they become."""

import base64
import gzip

import pytest
from fetch_site import GIF, JPEG, PDF, WEBP, Page, allowed, document, image, moved, png, refused, site, source

from dragoman.core.messages import Block


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(png(), "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
    ids=["png", "jpeg", "gif", "webp"],
)
async def test_images(body: bytes, media_type: str) -> None:
    """The type is that of the bytes, whatever the site calls it."""
    async with site() as place:
        place.pages["/a.txt"] = Page(body, headers=["Content-Type: text/html"])
        found = image(place.url("/a.txt"))
        await allowed(place)([found])
    assert source(found) == {"type": "base64", "media_type": media_type, "data": base64.b64encode(body).decode()}


async def test_documents() -> None:
    """PDF as it is, text as text; the title stays."""
    async with site() as place:
        place.pages |= {"/a": Page(PDF), "/b": Page("héllo".encode())}
        pdf, text = document(place.url("/a")), document(place.url("/b"))
        await allowed(place)([pdf, text])
    assert source(pdf) == {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()}
    assert source(text) == {"type": "text", "media_type": "text/plain", "data": "héllo"}
    assert text.block["title"] == "a"


async def test_each_url_is_fetched_once() -> None:
    """Its bytes stand wherever it stood; what came as bytes is left alone."""
    inline = image("x")
    given: Block = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    inline.block["source"] = {**given}
    async with site() as place:
        place.pages["/a"] = Page(png())
        found = [image(place.url("/a")), inline, image(place.url("/a"))]
        await allowed(place)(found)
    assert len(place.asked) == 1
    assert source(found[0]) == source(found[2])
    assert source(inline) == given


async def test_without_urls_nothing_happens() -> None:
    """Most requests have none."""
    async with site() as place:
        await allowed(place)([])
    assert place.asked == []


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (Page(b"<html>"), "unsupported_image"),
        (Page(b""), "unsupported_image"),
        (Page(PDF), "unsupported_image"),
        (Page(gzip.compress(png()), headers=["Content-Encoding: gzip"]), "unsupported_image"),
        (Page(png()[:-12]), "invalid_image"),
        (Page(JPEG[:-2]), "invalid_image"),
        (Page(GIF[:-2]), "invalid_image"),
        (Page(WEBP[:-2]), "invalid_image"),
        (Page(png(), length=1000), "url_unreachable"),
        (Page(png(), "500 Broken"), "url_unreachable"),
        (Page(png(), "206 Partial Content"), "url_unreachable"),
        (Page(png(8001, 8)), "image_too_large"),
    ],
)
async def test_images_that_are_refused(page: Page, code: str) -> None:
    """Of another type, cut short by the site or on the way, not there, too large."""
    async with site() as place:
        place.pages["/a"] = page
        answer = await refused(allowed(place), image(place.url("/a"), "messages[2].content[1].image_url.url"))
    assert answer == (code, "messages[2].content[1].image_url.url")


@pytest.mark.parametrize(("body", "code"), [(png(), "unsupported_file"), (b" \n", "invalid_file")])
async def test_files_that_are_refused(body: bytes, code: str) -> None:
    """Neither PDF nor text, or empty."""
    async with site() as place:
        place.pages["/a"] = Page(body)
        assert await refused(allowed(place), document(place.url("/a"))) == (code, "p")


async def test_what_a_site_says_of_a_failure_stays_there() -> None:
    """Its words could be those of a stranger's inside."""
    async with site() as place:
        place.pages["/a"] = Page(b"secret words", "403 Secret")
        with pytest.raises(Exception, match="403") as caught:
            await allowed(place)([image(place.url("/a"))])
    assert "ecret" not in str(caught.value)


@pytest.mark.parametrize("length", [-1, None])
async def test_files_over_the_limit(length: int | None) -> None:
    """Whether the site says so before or not."""
    async with site() as place:
        place.pages["/a"] = Page(png(filling=100_000), length=length)
        assert await refused(allowed(place, max_bytes=1000), image(place.url("/a"))) == ("file_too_large", "p")
        place.pages["/a"] = Page(png(filling=1000), length=length)
        await allowed(place, max_bytes=2000)([image(place.url("/a"))])


async def test_a_file_that_is_announced_too_large_is_not_read() -> None:
    """Its first bytes are not waited for."""
    async with site() as place:
        place.pages["/a"] = Page(length=1001, held=True)
        assert await refused(allowed(place, max_bytes=1000), image(place.url("/a"))) == ("file_too_large", "p")


async def test_files_that_are_too_large_together() -> None:
    """A file counts as often as it stands in the request."""
    async with site() as place:
        place.pages["/a"] = Page(png(filling=1_000_000))
        media = [image(place.url("/a"), f"p{index}") for index in range(26)]
        assert await refused(allowed(place), *media) == ("file_too_large", "p0")


async def test_redirects() -> None:
    """Followed from place to place, also with relative addresses; no cookie goes along."""
    async with site() as place:
        place.pages |= {
            "/a": moved(place.url("/b"), "301 Moved Permanently"),
            "/b": Page(status="307 Temporary Redirect", headers=["Location: c", "Set-Cookie: a=b"]),
            "/c": Page(png()),
        }
        found = image(place.url("/a"))
        await allowed(place)([found])
    assert source(found)["type"] == "base64"
    assert "cookie" not in "".join(place.asked).lower()


@pytest.mark.parametrize("count", [5, 6])
async def test_redirects_are_counted(count: int) -> None:
    """Five are enough for any honest site."""
    async with site() as place:
        place.pages |= {f"/{step}": moved(f"/{step + 1}") for step in range(count)} | {f"/{count}": Page(png())}
        if count == 5:
            await allowed(place)([image(place.url("/0"))])
        else:
            assert await refused(allowed(place), image(place.url("/0"))) == ("url_unreachable", "p")


async def test_nothing_of_ours_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment, no password file; the bytes are asked for as they are."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with site() as place:
        place.pages["/a"] = Page(png())
        await allowed(place)([image(place.url("/a"))])
    names = {line.partition(":")[0].lower() for line in place.asked[0].split("\r\n")[1:] if line}
    assert names <= {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert "accept-encoding: identity" in place.asked[0].lower()
