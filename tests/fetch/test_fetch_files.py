"""Fetched files: types, limits, redirects and the requests that are sent."""

import base64
import gzip

import pytest
from fetch_site import (
    GIF,
    JPEG,
    PDF,
    WEBP,
    Page,
    document,
    fetch_error,
    fetcher_for,
    image,
    png,
    redirect,
    serve_site,
    source,
)

from dragoman.core.messages import Block


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(png(), "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
    ids=["png", "jpeg", "gif", "webp"],
)
async def test_images(body: bytes, media_type: str) -> None:
    """The media type is detected from the bytes. The site's `Content-Type` is ignored."""
    async with serve_site() as site:
        site.pages["/a.txt"] = Page(body, headers=["Content-Type: text/html"])
        found = image(site.url("/a.txt"))
        await fetcher_for(site)([found])
    assert source(found) == {"type": "base64", "media_type": media_type, "data": base64.b64encode(body).decode()}


async def test_documents() -> None:
    """A PDF becomes a base64 source, and text becomes a text source. The title stays."""
    async with serve_site() as site:
        site.pages |= {"/a": Page(PDF), "/b": Page("héllo".encode())}
        pdf, text = document(site.url("/a")), document(site.url("/b"))
        await fetcher_for(site)([pdf, text])
    assert source(pdf) == {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()}
    assert source(text) == {"type": "text", "media_type": "text/plain", "data": "héllo"}
    assert text.block["title"] == "a"


async def test_each_url_is_fetched_once() -> None:
    """All blocks with the same URL get its bytes. Inline sources are not changed."""
    inline = image("x")
    given: Block = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    inline.block["source"] = {**given}
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        found = [image(site.url("/a")), inline, image(site.url("/a"))]
        await fetcher_for(site)(found)
    assert len(site.requests) == 1
    assert source(found[0]) == source(found[2])
    assert source(inline) == given


async def test_without_urls_nothing_is_fetched() -> None:
    """A request without media sends nothing."""
    async with serve_site() as site:
        await fetcher_for(site)([])
    assert site.requests == []


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
async def test_refused_images(page: Page, code: str) -> None:
    """Images are refused if their type is unsupported, or if they are incomplete, unavailable or too large."""
    async with serve_site() as site:
        site.pages["/a"] = page
        error = await fetch_error(fetcher_for(site), image(site.url("/a"), "messages[2].content[1].image_url.url"))
    assert error == (code, "messages[2].content[1].image_url.url")


@pytest.mark.parametrize(("body", "code"), [(png(), "unsupported_file"), (b" \n", "invalid_file")])
async def test_refused_documents(body: bytes, code: str) -> None:
    """Documents are refused if they are neither PDF nor text, or have no content."""
    async with serve_site() as site:
        site.pages["/a"] = Page(body)
        assert await fetch_error(fetcher_for(site), document(site.url("/a"))) == (code, "p")


async def test_error_does_not_quote_the_site() -> None:
    """The error has the status code, but no text of the site, which may be confidential."""
    async with serve_site() as site:
        site.pages["/a"] = Page(b"secret words", "403 Secret")
        with pytest.raises(Exception, match="403") as caught:
            await fetcher_for(site)([image(site.url("/a"))])
    assert "ecret" not in str(caught.value)


@pytest.mark.parametrize("length", [-1, None])
async def test_file_size_limit(length: int | None) -> None:
    """A file over the limit is refused, with and without `Content-Length`."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png(padding=100_000), length=length)
        assert await fetch_error(fetcher_for(site, max_bytes=1000), image(site.url("/a"))) == ("file_too_large", "p")
        site.pages["/a"] = Page(png(padding=1000), length=length)
        await fetcher_for(site, max_bytes=2000)([image(site.url("/a"))])


async def test_file_with_a_content_length_over_the_limit_is_not_read() -> None:
    """The file is refused before its first byte arrives."""
    async with serve_site() as site:
        site.pages["/a"] = Page(length=1001, stays_open=True)
        assert await fetch_error(fetcher_for(site, max_bytes=1000), image(site.url("/a"))) == ("file_too_large", "p")


async def test_total_size_limit() -> None:
    """The files of a request have a total limit. A file counts once for each block that uses it."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png(padding=1_000_000))
        media = [image(site.url("/a"), f"p{index}") for index in range(26)]
        assert await fetch_error(fetcher_for(site), *media) == ("file_too_large", "p0")


async def test_redirects() -> None:
    """Redirects are followed, to absolute and relative URLs. Cookies are not sent."""
    async with serve_site() as site:
        site.pages |= {
            "/a": redirect(site.url("/b"), "301 Moved Permanently"),
            "/b": Page(status="307 Temporary Redirect", headers=["Location: c", "Set-Cookie: a=b"]),
            "/c": Page(png()),
        }
        found = image(site.url("/a"))
        await fetcher_for(site)([found])
    assert source(found)["type"] == "base64"
    assert "cookie" not in "".join(site.requests).lower()


@pytest.mark.parametrize("count", [5, 6])
async def test_redirect_limit(count: int) -> None:
    """Five redirects are followed. A sixth one is refused."""
    async with serve_site() as site:
        site.pages |= {f"/{step}": redirect(f"/{step + 1}") for step in range(count)} | {f"/{count}": Page(png())}
        if count == 5:
            await fetcher_for(site)([image(site.url("/0"))])
        else:
            assert await fetch_error(fetcher_for(site), image(site.url("/0"))) == ("url_unreachable", "p")


async def test_request_has_minimal_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment is not used, no credentials are sent, and no compression is requested."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        await fetcher_for(site)([image(site.url("/a"))])
    names = {line.partition(":")[0].lower() for line in site.requests[0].split("\r\n")[1:] if line}
    assert names <= {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert "accept-encoding: identity" in site.requests[0].lower()
