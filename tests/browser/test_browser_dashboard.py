"""The dashboard in a browser, with a gateway that the command line started."""

import asyncio
from pathlib import Path

import httpx
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # it has no types
from browsing import Gateway, needs_browser, serving, tab
from playwright.async_api import Page, expect

pytestmark = needs_browser

SCRIPT = '<img src=x onerror="document.title=1"><b>bold</b>'


async def ask(gateway: Gateway, text: str) -> str:
    """Send a chat request, and return the id of its run."""
    async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
        body = {"model": "sonnet", "messages": [{"role": "user", "content": text}]}
        return (await http.post("/v1/chat/completions", json=body)).headers["x-dragoman-run-id"]


async def has_no_overflow(page: Page) -> bool:
    """Return whether the page is not wider than its window."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


async def test_first_minute(tmp_path: Path) -> None:
    """Start, open, send one request, see it appear, open it; start one from the playground, and cancel it."""
    async with serving(tmp_path, "--backend", "api", "--runs-content") as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/dashboard")
        await expect(page.locator(".empty pre")).to_contain_text("/v1/chat/completions")
        assert len(log.requests) <= 6  # five, and the icon, which is in the page
        await ask(gateway, f"Reply with exactly: {SCRIPT}")
        row = page.locator("#recent li").first
        await expect(row).to_contain_text("succeeded")
        await row.locator("a").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#response .message").last).to_have_text(SCRIPT)
        await expect(page.locator(".turn .message").last).to_contain_text(SCRIPT)
        assert await page.locator("main img, main b").count() == 0
        assert await page.title() == "Run · Dragoman"

        asking = asyncio.create_task(ask(gateway, "Count to 3\nSimulate: hold after 1"))
        await page.get_by_role("link", name="Now", exact=True).click()
        live = page.locator("#live li").first
        await live.locator("a").click()
        await expect(page.locator("#response .message").last).to_contain_text("1")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator(".head .badge")).to_have_text("cancelled")
        await asking
        assert all(address.startswith((gateway.address, "data:")) for address in log.requests)
        assert log.errors == []


async def test_why_the_cache_was_not_read(tmp_path: Path) -> None:
    """The page Cache counts the reasons, and leads to the newest run, which shows its own."""
    async with serving(tmp_path, "--backend", "api") as gateway, tab() as (page, log):
        async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
            for system in ("word " * 4000, "Now " + "word " * 4000):
                messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hello"}]
                body = {"model": "sonnet", "messages": messages}
                await http.post("/v1/chat/completions", json=body)
        await page.goto(f"{gateway.address}/dashboard#/cache")
        await expect(page.locator("#reasons tbody tr").first).to_contain_text("System prompt changed")
        await expect(page.locator("#reasons code")).to_have_text("system[0]")
        assert (await Axe().run(page)).violations_count == 0
        await page.locator("#reasons a").first.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".notice")).to_contain_text("The system prompt differs")
        assert log.errors == []


async def test_every_page_in_every_size(tmp_path: Path) -> None:
    """Each page opens by the keyboard, light and dark, and fits a phone. Axe and the browser report nothing."""
    async with serving(tmp_path, "--backend", "api") as gateway, tab() as (page, log):
        await ask(gateway, "Reply with exactly: PONG")
        violations: list[str] = []
        for scheme, width in (("light", 1440), ("dark", 390)):
            await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            await page.set_viewport_size({"width": width, "height": 844})
            for name in ("Now", "Usage", "Cache", "Playground", "Keys", "Settings"):
                await page.goto(f"{gateway.address}/dashboard")
                await page.locator("main h1").wait_for()
                await page.locator("nav").get_by_role("link", name=name).focus()
                await page.keyboard.press("Enter")
                await expect(page.locator("main h1")).to_have_text(name)
                await expect(page.locator("nav [aria-current]")).to_have_text(name)
                assert await has_no_overflow(page), (name, width)
                found = await Axe().run(page)
                if found.violations_count:
                    violations.append(f"{name} {scheme}: {found.generate_report()}")
            await page.goto(f"{gateway.address}/dashboard#/playground")
            await page.get_by_role("button", name="Send").click()
            await expect(page.locator(".play .message")).to_contain_text("1")
            await expect(page.get_by_role("link", name="Open the run")).to_be_visible()
        assert [error for error in log.errors if "404" not in error] == []
    assert violations == []


async def test_keys(tmp_path: Path) -> None:
    """A key is created with a budget, its secret is shown once, and it is revoked. The audit log has both changes."""
    async with serving(tmp_path, "--backend", "api", "--api-key", "the-key") as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/dashboard#/keys")
        await page.get_by_label("API key").fill("the-key")
        await page.keyboard.press("Enter")
        await page.get_by_label("Name").fill("alice")
        await page.get_by_label("Budget").fill("5usd/month")
        await page.keyboard.press("Enter")
        await expect(page.locator("#said")).to_contain_text("The secret of alice")
        await expect(page.locator("#list")).to_contain_text("$5.00")
        page.on("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="Revoke alice").click()
        await expect(page.locator("#list .badge")).to_have_text("revoked")
        await page.get_by_role("button", name="Audit").click()
        await expect(page.locator("#list tbody tr")).to_have_count(2)
        assert [error for error in log.errors if "404" not in error] == []


async def test_member(tmp_path: Path) -> None:
    """A client's key shows its own usage, in every size, and no page of the operator."""
    keys = '[{"name": "ada", "api_key": "ada-key"}]'
    flags = ("--backend", "api", "--api-key", "the-key")
    async with serving(tmp_path, *flags, added={"DRAGOMAN_KEYS": keys}) as gateway, tab() as (page, log):
        async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
            for key in ("ada-key", "the-key"):
                headers = {"authorization": f"Bearer {key}"}
                body = {"model": "sonnet", "messages": [{"role": "user", "content": "Hello"}]}
                await http.post("/v1/chat/completions", json=body, headers=headers)
        await page.goto(f"{gateway.address}/dashboard#/keys")
        await page.get_by_label("API key").fill("ada-key")
        await page.keyboard.press("Enter")
        await expect(page.locator("main h1")).to_have_text("Usage")
        await expect(page.locator("nav a")).to_have_count(1)
        await expect(page.locator("#key tbody tr")).to_have_count(1)
        await expect(page.locator("#key")).to_contain_text("ada")
        for scheme, width in (("light", 1440), ("dark", 390)):
            await page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            await page.set_viewport_size({"width": width, "height": 844})
            assert await has_no_overflow(page)
            assert (await Axe().run(page)).violations_count == 0
        await page.reload()
        await expect(page.locator("main h1")).to_have_text("Usage")
        assert log.errors == []


async def test_sign_in(tmp_path: Path) -> None:
    """With a key the page asks for it, shows why one is wrong, stays signed in, and signs out."""
    async with serving(tmp_path, "--backend", "api", "--api-key", "the-key") as gateway, tab() as (page, _):
        await page.goto(f"{gateway.address}/dashboard")
        key = page.get_by_label("API key")
        await key.fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.locator("form .error")).to_contain_text("not a key")
        await key.fill("the-key")
        await page.keyboard.press("Enter")
        await expect(page.locator("main h1")).to_have_text("Now")
        await page.goto(f"{gateway.address}/dashboard#/playground")
        await page.reload()
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator(".play .message")).to_contain_text("1")
        await page.get_by_role("button", name="Sign out").click()
        await expect(key).to_be_visible()
        await page.reload()
        await expect(key).to_be_visible()
