"""Every page of the dashboard, from the installed wheel, by keyboard: light and dark, wide and narrow."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from browsing import Gateway, needs_browser, serving, tab
from person import VIEWS, look, press, reach, violations, write
from playwright.async_api import Page, expect

pytestmark = needs_browser

KEY = "the-key"
FLAGS = ("--backend", "api", "--api-key", KEY, "--runs-content", "--budget", "20usd/month")
REFUSED = "Failed to load resource: the server responded with a status of 400 (Bad Request)"
"""What the browser says of a key whose name the gateway refuses."""
MAX_REQUESTS = 5
"""What one page may request, its first opening included."""


async def ask(gateway: Gateway, text: str, system: str = "word " * 2000) -> None:
    """Send a chat request."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
        headers = {"authorization": f"Bearer {KEY}"}
        body = {"model": "sonnet", "messages": messages}
        await http.post("/v1/chat/completions", json=body, headers=headers)


async def use_now(page: Page) -> None:
    """Filter the runs, open one, copy it, and go back."""
    await write(page.get_by_label("Filter by model, client or error"), "nothing like this")
    await expect(page.locator("#empty")).to_contain_text("No run matches.")
    await write(page.get_by_label("Filter by model, client or error"), "sonnet")
    await press(page.get_by_label("Filter by status"), "s")
    await expect(page.get_by_label("Filter by status")).to_have_value("succeeded")
    await press(page.locator("#recent li:not([hidden]) a").first)
    await expect(page.locator("#costs table")).to_contain_text("Output")
    await press(page.get_by_role("button", name="Copy as curl"))
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "/v1/messages" in await page.evaluate("navigator.clipboard.readText()")
    await press(page.get_by_text("The whole request"))
    await expect(page.locator("pre.scroll")).to_contain_text('"messages"')
    assert await violations(page) == []
    await press(page.get_by_role("link", name="Back to all runs"))
    await expect(page.locator("main h1")).to_have_text("Now")


async def use_usage(page: Page) -> None:
    """Choose a period and what is shown, read the chart, and open its table. A budget shows what is left."""
    await expect(page.locator("#tiles")).to_contain_text("of $20.00")
    await expect(page.get_by_role("region", name="Budgets")).to_contain_text("gateway")
    await press(page.get_by_role("button", name="30 days"))
    await press(page.get_by_role("button", name="Tokens"))
    await expect(page.get_by_role("button", name="Tokens")).to_have_attribute("aria-pressed", "true")
    await press(page.get_by_role("group", name="Tokens by day"), "End")
    await expect(page.locator("d-chart [aria-live]")).to_contain_text("claude-sonnet-5-5")
    await press(page.locator("d-chart summary"))
    await expect(page.locator("d-chart tbody tr")).to_have_count(30)


async def use_plan(page: Page) -> None:
    """Without a sign-in there is no plan, and the page leads to the costs."""
    await press(page.get_by_role("button", name="Refresh"))
    await press(page.locator("main").get_by_role("link", name="Usage"))
    await expect(page.locator("main h1")).to_have_text("Usage")


async def use_cache(page: Page) -> None:
    """Read the chart of the newest runs, and open the newest one that has missed the cache."""
    await expect(page.locator("#reasons")).to_contain_text("System prompt changed")
    await press(page.get_by_role("group", name="Input of each run"), "End")
    await expect(page.locator("d-chart .tip")).to_contain_text("Read")
    assert await violations(page) == []
    await press(page.locator("#reasons a").first)
    await expect(page.locator(".notice")).to_contain_text("The system prompt differs")


async def use_playground(page: Page) -> None:
    """Compare two models, see the raw request, and stop a response."""
    await press(page.get_by_role("button", name="Compare two"))
    await write(page.locator("textarea[name=prompt]"), "Reply with exactly: PONG")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".play .message")).to_have_text(["PONG", "PONG"])
    await expect(page.get_by_role("link", name="Open the run")).to_have_count(2)
    await press(page.locator(".play summary").first)
    await expect(page.locator(".play pre").first).to_contain_text("/v1/chat/completions")
    await write(page.locator("textarea[name=prompt]"), "Count to 3\nSimulate: hold after 1")
    await press(page.get_by_role("button", name="Send"))
    await expect(page.locator(".play .message").first).to_contain_text("1")
    await press(page.get_by_role("button", name="Stop"))
    await expect(page.locator(".play [data-part=state]").first).to_have_text("stopped")


async def use_keys(page: Page) -> None:
    """Look at teams and at the audit log, and at the keys again."""
    await press(page.get_by_role("button", name="Teams"))
    await expect(page.locator("#list")).to_contain_text("There are no teams yet.")
    await press(page.get_by_role("button", name="Audit"))
    await expect(page.locator("#list")).to_contain_text("Nothing was changed yet.")
    await press(page.get_by_role("button", name="Keys", exact=True))
    await expect(page.locator("#list")).to_contain_text("There are no keys yet.")
    await write(page.get_by_label("Name"), "not a name")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("name")


async def use_nodes(page: Page) -> None:
    """See the workers and upstreams as they are now."""
    await press(page.get_by_role("button", name="Refresh"))
    await expect(page.locator("#nodes tbody tr")).to_have_count(1)
    await expect(page.locator("#nodes")).to_contain_text("ready")
    await expect(page.locator("#upstreams tbody tr")).to_contain_text("API key")


async def use_settings(page: Page) -> None:
    """Find a setting. Of a secret only whether it is set is shown."""
    await expect(page.locator("#groups")).to_contain_text("api_key")
    await expect(page.locator("#groups")).not_to_contain_text(KEY)
    await press(page.get_by_role("button", name="All"))
    await write(page.get_by_label("Filter settings"), "heartbeat")
    await expect(page.locator("#groups tbody tr").first).to_contain_text("heartbeat")


USES: dict[str, Callable[[Page], Awaitable[None]]] = {
    "Now": use_now,
    "Usage": use_usage,
    "Plan": use_plan,
    "Cache": use_cache,
    "Playground": use_playground,
    "Keys": use_keys,
    "Nodes": use_nodes,
    "Settings": use_settings,
}


async def requests_of_pages(page: Page, gateway: Gateway, requests: list[str]) -> dict[str, list[str]]:
    """Open each page as the first one, and return the requests of those that make too many."""
    many: dict[str, list[str]] = {}
    for name in USES:
        path = "" if name == "Now" else name.lower()
        await page.goto("about:blank")
        requests.clear()
        await page.goto(f"{gateway.address}/dashboard#/{path}")
        await expect(page.locator("main h1")).to_have_text(name)
        await page.wait_for_load_state("networkidle" if path else "load")
        sent = [url for url in requests if url.startswith("http")]
        if len(sent) > MAX_REQUESTS:
            many[name] = sent
    return many


async def test_every_page_by_keyboard(tmp_path: Path, binaries: Path) -> None:
    """Each page is reached and used without a mouse in every look, makes few requests, and axe finds nothing on it."""
    program = binaries / "dragoman"
    found: dict[str, list[str]] = {}
    async with serving(tmp_path, *FLAGS, program=program) as gateway, tab() as (page, log):
        await asyncio.gather(*(ask(gateway, "Reply with exactly: PONG", f"{n} " + "word " * 2000) for n in (1, 2)))
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(f"{gateway.address}/dashboard")
        await write(page.get_by_label("API key"), KEY)
        assert await violations(page) == []
        await press(page.get_by_role("button", name="Sign in"))
        for scheme, width in VIEWS:
            await look(page, scheme, width)
            for name, use in USES.items():
                await reach(page.locator("nav").get_by_role("link", name=name), "Shift+Tab")
                await page.keyboard.press("Enter")
                await expect(page.locator("main h1")).to_have_text(name)
                await expect(page.locator("nav [aria-current]")).to_have_text(name)
                await use(page)
                for shown in ("light", "dark"):
                    await look(page, shown, width)
                    found[f"{name} {shown} {width}"] = await violations(page)
                await look(page, scheme, width)
        await press(page.get_by_role("button", name="Theme"))
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        await reach(page.get_by_role("button", name="Sign out"))
        assert await requests_of_pages(page, gateway, log.requests) == {}
        assert log.errors == [REFUSED] * len(VIEWS)
    assert {name: some for name, some in found.items() if some} == {}
