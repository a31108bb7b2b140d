"""The documentation that `make docs-site` builds, in a browser without a network."""

import pytest
from browsing import needs_browser, tab
from pages import ROOT
from playwright.async_api import Page, expect

SITE = ROOT / "site" / "html"
INDEX = SITE / "index.html"
"""It redirects to the documentation."""
PAGES = sorted(path for part in ("docs", "examples", ".") for path in (SITE / part).glob("*.html") if path != INDEX)

pytestmark = [
    needs_browser,
    pytest.mark.skipif(not PAGES, reason="the site is not built here; `make docs-site` builds it"),
]


async def test_every_page_opens() -> None:
    """No page requests anything outside of the site or has an error, and every link has a target."""
    targets: set[str] = set()
    async with tab() as (page, log):
        for path in PAGES:
            await page.goto(path.as_uri())
            targets |= await links(page)
    assert [address for address in log.requests if not address.startswith((SITE.as_uri(), "data:"))] == []
    assert log.errors == []
    files = {path.as_uri() for path in SITE.rglob("*") if path.is_file()}
    assert {address for address in targets if address.startswith("file:")} <= files


async def test_navigation_and_search() -> None:
    """The site's address opens the documentation, its menu opens a page, and the search finds a page by its words."""
    async with tab() as (page, _):
        await page.goto(INDEX.as_uri())
        await page.wait_for_url("**/docs/index.html")
        await page.locator(".sidebar-tree").get_by_text("Operating the gateway", exact=True).click()
        await expect(page.locator("h1")).to_contain_text("Operating the gateway")
        await page.goto(f"{(SITE / 'search.html').as_uri()}?q=papaya")
        await expect(page.locator("#search-results a").first).to_have_text("Stored responses")


async def links(page: Page) -> set[str]:
    """Return the targets of a page's links, without fragments and queries."""
    found: list[str] = await page.eval_on_selector_all("a[href]", "(links) => links.map((link) => link.href)")
    return {address.partition("#")[0].partition("?")[0] for address in found}
