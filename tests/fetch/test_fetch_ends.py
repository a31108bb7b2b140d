"""Slow sites, and requests that end early. No connection stays behind: every site waits for that."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fetch_site import TIMEOUT, Page, allowed, fetcher, image, png, refused, site

from dragoman.core.errors import InvalidRequest


@pytest.mark.parametrize("page", [Page(b"", length=100, held=True), Page(png(), length=None, held=True)])
async def test_a_site_that_never_ends(page: Page) -> None:
    """The time limit is for the whole file, so drops do not prolong it."""
    async with site() as place:
        place.pages["/a"] = page
        assert await refused(allowed(place, timeout=0.3), image(place.url("/a"))) == ("url_timeout", "p")


async def test_cancelling_closes_the_connections() -> None:
    """All of them."""
    async with site() as place:
        place.pages |= {path: Page(b"x", length=100, held=True) for path in ("/a", "/b")}
        fetching = asyncio.create_task(allowed(place)([image(place.url("/a")), image(place.url("/b"))]))
        for page in place.pages.values():
            await asyncio.wait_for(page.entered.wait(), TIMEOUT)
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching


async def test_the_first_failure_ends_the_others() -> None:
    """Nothing is waited for that cannot help any more."""
    async with site() as place:
        place.pages["/a"] = Page(b"x", length=100, held=True)
        media = [image(place.url("/a"), "first"), image(place.url("/missing"), "second")]
        assert await refused(allowed(place), *media) == ("url_unreachable", "second")


async def test_more_files_than_connections() -> None:
    """They wait for each other."""
    async with site() as place:
        place.pages |= {f"/{index}": Page(png(filling=index)) for index in range(20)}
        media = [image(place.url(path)) for path in place.pages]
        await allowed(place)(media)
    assert len(place.asked) == 20


async def test_slow_names_hold_up_nothing_else() -> None:
    """Names have threads of their own: those that everything else takes from are left alone, and may be taken."""
    loop, go_on = asyncio.get_running_loop(), threading.Event()
    with ThreadPoolExecutor(1) as others:
        loop.set_default_executor(others)
        taken = loop.run_in_executor(None, go_on.wait)
        try:
            assert await refused(fetcher(), image("http://localhost/a")) == ("url_not_allowed", "p")
        finally:
            go_on.set()
        assert await taken


async def test_many_urls_take_no_more_tasks_than_connections() -> None:
    """A request may hold half a million of them."""
    async with site() as place:
        place.pages["/0"] = Page(b"x", length=100, held=True)
        before = len(asyncio.all_tasks())
        media = [image(place.url(f"/{number}")) for number in range(5000)]
        place.pages |= {f"/{number}": place.pages["/0"] for number in range(1, 5000)}
        fetching = asyncio.create_task(allowed(place)(media))
        await asyncio.wait_for(place.pages["/0"].entered.wait(), TIMEOUT)
        assert len(asyncio.all_tasks()) - before < 100
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching


async def test_many_images_are_held_to_a_smaller_size() -> None:
    """Only then is it known how large they are."""
    async with site() as place:
        place.pages |= {f"/{index}": Page(png(2001 if index == 20 else 2000)) for index in range(21)}
        media = [image(place.url(f"/{index}"), f"p{index}") for index in range(21)]
        with pytest.raises(InvalidRequest, match="more than 20 images") as caught:
            await allowed(place)(media)
    assert (caught.value.code, caught.value.param) == ("image_too_large", "p20")
