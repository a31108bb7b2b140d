"""Timeouts, cancellation and parallel downloads. Each site checks that no connection is left open."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fetch_site import TIMEOUT, Page, fetch_error, fetcher_for, image, make_fetcher, png, serve_site

from dragoman.core.errors import InvalidRequest


@pytest.mark.parametrize("page", [Page(b"", length=100, stays_open=True), Page(png(), length=None, stays_open=True)])
async def test_timeout(page: Page) -> None:
    """A download that does not end in time is refused. The time limit is for the whole download."""
    async with serve_site() as site:
        site.pages["/a"] = page
        assert await fetch_error(fetcher_for(site, timeout=0.3), image(site.url("/a"))) == ("url_timeout", "p")


async def test_cancelling_closes_the_connections() -> None:
    """A cancelled request leaves no connection open."""
    async with serve_site() as site:
        site.pages |= {path: Page(b"x", length=100, stays_open=True) for path in ("/a", "/b")}
        fetch_task = asyncio.create_task(fetcher_for(site)([image(site.url("/a")), image(site.url("/b"))]))
        for page in site.pages.values():
            await asyncio.wait_for(page.sent.wait(), TIMEOUT)
        fetch_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch_task


async def test_first_failure_cancels_the_other_downloads() -> None:
    """If one file cannot be fetched, the request fails without waiting for the other files."""
    async with serve_site() as site:
        site.pages["/a"] = Page(b"x", length=100, stays_open=True)
        media = [image(site.url("/a"), "first"), image(site.url("/missing"), "second")]
        assert await fetch_error(fetcher_for(site), *media) == ("url_unreachable", "second")


async def test_more_files_than_connections() -> None:
    """All files are fetched, also if there are more of them than parallel connections."""
    async with serve_site() as site:
        site.pages |= {f"/{index}": Page(png(padding=index)) for index in range(20)}
        media = [image(site.url(path)) for path in site.pages]
        await fetcher_for(site)(media)
    assert len(site.requests) == 20


async def test_name_lookups_have_their_own_threads() -> None:
    """Names are looked up also while all threads of the default executor are busy."""
    loop, release = asyncio.get_running_loop(), threading.Event()
    with ThreadPoolExecutor(1) as default_executor:
        loop.set_default_executor(default_executor)
        busy = loop.run_in_executor(None, release.wait)
        try:
            assert await fetch_error(make_fetcher(), image("http://localhost/a")) == ("url_not_allowed", "p")
        finally:
            release.set()
        assert await busy


async def test_many_urls_need_few_tasks() -> None:
    """The number of tasks does not grow with the number of URLs, because a request may contain half a million."""
    async with serve_site() as site:
        site.pages["/0"] = Page(b"x", length=100, stays_open=True)
        before = len(asyncio.all_tasks())
        media = [image(site.url(f"/{number}")) for number in range(5000)]
        site.pages |= {f"/{number}": site.pages["/0"] for number in range(1, 5000)}
        fetch_task = asyncio.create_task(fetcher_for(site)(media))
        await asyncio.wait_for(site.pages["/0"].sent.wait(), TIMEOUT)
        assert len(asyncio.all_tasks()) - before < 100
        fetch_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetch_task


async def test_smaller_size_limit_for_many_images() -> None:
    """The size limit for requests with more than 20 images also applies to fetched images."""
    async with serve_site() as site:
        site.pages |= {f"/{index}": Page(png(2001 if index == 20 else 2000)) for index in range(21)}
        media = [image(site.url(f"/{index}"), f"p{index}") for index in range(21)]
        with pytest.raises(InvalidRequest, match="more than 20 images") as caught:
            await fetcher_for(site)(media)
    assert (caught.value.code, caught.value.param) == ("image_too_large", "p20")
