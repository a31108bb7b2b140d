"""The documentation as `make docs-site` builds it, opened in a browser on a machine without a network."""

import pytest
from browsing import needs_browser, tab
from pages import ROOT
from playwright.async_api import Page, expect

SITE = ROOT / "site" / "html"
DOOR = SITE / "index.html"
"""It leads on at once."""
PAGES = sorted(path for part in ("docs", "examples", ".") for path in (SITE / part).glob("*.html") if path != DOOR)

pytestmark = [
    needs_browser,
    pytest.mark.skipif(not PAGES, reason="the site is not built here; `make docs-site` builds it"),
]


async def test_every_page_opens() -> None:
    """None asks for anything outside of the site, none complains, and every link of theirs leads somewhere."""
    wanted: set[str] = set()
    async with tab() as (page, seen):
        for path in PAGES:
            await page.goto(path.as_uri())
            wanted |= await links(page)
    assert [address for address in seen.asked if not address.startswith((SITE.as_uri(), "data:"))] == []
    assert seen.complaints == []
    there = {path.as_uri() for path in SITE.rglob("*") if path.is_file()}
    assert {address for address in wanted if address.startswith("file:")} <= there


async def test_the_way_in() -> None:
    """The site's own address leads to the documentation, from there to a page, and the search finds words of one."""
    async with tab() as (page, _):
        await page.goto(DOOR.as_uri())
        await page.wait_for_url("**/docs/index.html")
        await page.locator(".sidebar-tree").get_by_text("Operating the gateway", exact=True).click()
        await expect(page.locator("h1")).to_contain_text("Operating the gateway")
        await page.goto(f"{(SITE / 'search.html').as_uri()}?q=papaya")
        await expect(page.locator("#search-results a").first).to_have_text("Stored responses")


async def links(page: Page) -> set[str]:
    """Where a page's links lead, without the places within a page."""
    found: list[str] = await page.eval_on_selector_all("a[href]", "(all) => all.map((one) => one.href)")
    return {address.partition("#")[0].partition("?")[0] for address in found}
