"""The dashboard in a browser, with a gateway that the command of the installed wheel started."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
from browsing import Gateway, needs_browser, serving, tab
from commands import line, started
from person import VIEWS, look, violations
from playwright.async_api import Route, expect

from dragoman.simulator.server import Simulator

pytestmark = needs_browser

KEYED = ("--backend", "api", "--api-key", "the-key")
SCRIPT = '<img src=x onerror="document.title=1"><b>bold</b>'


async def ask(gateway: Gateway, text: str) -> str:
    """Send a chat request, and return the id of its run."""
    async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
        body = {"model": "sonnet", "messages": [{"role": "user", "content": text}]}
        return (await http.post("/v1/chat/completions", json=body)).headers["x-dragoman-run-id"]


async def test_first_minute(tmp_path: Path, binaries: Path) -> None:
    """Start, open, send the request that the page shows, see it appear, open one, and cancel one."""
    program = binaries / "dragoman"
    flags = ("--backend", "api", "--runs-content")
    async with serving(tmp_path, *flags, program=program) as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/dashboard")
        command = await page.locator(".empty pre").inner_text()
        assert len(log.requests) <= 6  # five, and the icon, which is in the page
        shell = await asyncio.create_subprocess_shell(f"{command} --no-progress-meter", stdout=PIPE)
        answer, _ = await shell.communicate()
        assert json.loads(answer)["choices"][0]["message"]["content"] == "PONG"
        await expect(page.locator("#recent li")).to_have_count(1)
        await ask(gateway, f"Reply with exactly: {SCRIPT}")
        await expect(page.locator("#recent li")).to_have_count(2)
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


async def test_keys(tmp_path: Path, binaries: Path) -> None:
    """A key is created with a budget, its secret is shown once, and it is revoked. The audit log has both changes."""
    program = binaries / "dragoman"
    async with serving(tmp_path, *KEYED, program=program) as gateway, tab() as (page, log):
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
        assert log.errors == []


async def test_member(tmp_path: Path, binaries: Path) -> None:
    """A client's key shows its own usage, in every size, and no page of the operator."""
    keys = '[{"name": "ada", "api_key": "ada-key"}]'
    program, added = binaries / "dragoman", {"DRAGOMAN_KEYS": keys}
    async with serving(tmp_path, *KEYED, program=program, added=added) as gateway, tab() as (page, log):
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
            await look(page, scheme, width)
            assert await violations(page) == []
        await page.reload()
        await expect(page.locator("main h1")).to_have_text("Usage")
        assert log.errors == []


async def test_sign_in(tmp_path: Path, binaries: Path) -> None:
    """With a key the page asks for it, shows why one is wrong, stays signed in, and signs out."""
    program = binaries / "dragoman"
    async with serving(tmp_path, *KEYED, program=program) as gateway, tab() as (page, _):
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


async def test_plan_of_a_sign_in(tmp_path: Path, binaries: Path) -> None:
    """With a sign-in the page waits for the first response, and then shows what the official runtime has reported."""
    flags = ("serve", "--signed-in", "--port", "0", "--spares", "0")
    async with Simulator() as simulator, tab() as (page, log):
        added = {"ANTHROPIC_BASE_URL": simulator.url}
        async with started(tmp_path, *flags, added=added, program=binaries / "dragoman") as process:
            address = (await line(process, "OpenAI base URL")).split()[-1].removesuffix("/v1")
            await page.goto(f"{address}/dashboard#/plan")
            await expect(page.locator("#plans")).to_contain_text(
                "Claude Code reports the limits with its first response."
            )
            await ask(Gateway(address, simulator.url), "Reply with exactly: PONG")
            refresh = page.get_by_role("button", name="Refresh")
            while "left" not in await page.locator("#plans").inner_text():
                await refresh.click()
            await expect(page.locator("#plans .tile")).to_have_count(2)
            await expect(page.locator("#plans .tile").first).to_contain_text("58% left")
            await expect(page.locator("#plans .tile").last).to_contain_text("83% left")
            for view in VIEWS:
                await look(page, *view)
                assert await violations(page) == []
        assert log.errors == []


HOSTILE = '"><img src=x onerror="document.title=1"><b>bold</b>'
PLAIN = frozenset({"status", "state", "day", "unit", "renewed", "used", "limit", "left", "type", "role"})
"""Fields of the admin API that contain a word of the gateway, a time or an amount: no text that people write."""


def hostile(value: object, name: str = "") -> object:
    """Replace each text that people may have written, in JSON."""
    if isinstance(value, dict):
        return {key: hostile(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, name) for one in value]
    return HOSTILE if isinstance(value, str) and name not in PLAIN else value


GIVEN = {
    "/admin/plan": {
        "plans": [
            {
                "upstream": "mine",
                "status": "allowed",
                "reported": 1e9,
                "windows": [{"name": "five_hour", "status": "allowed", "used": 0.5, "resets": 4e9}],
            }
        ]
    },
    "/admin/keys": {
        "keys": [{"name": "ada", "state": "valid", "team": "web", "created": 1e9, "secrets": [{"prefix": "dgm"}]}]
    },
}
"""Answers of a gateway with a sign-in and keys."""


async def answer_hostile(route: Route) -> None:
    """Answer as the gateway does, but with HTML in each text that people may have written."""
    address = route.request.url
    base, _, path = address.partition("/admin/")
    if path.startswith("events"):
        runs = await (await route.fetch(url=f"{base}/admin/runs")).json()
        [node] = (await (await route.fetch(url=f"{base}/admin/nodes")).json())["nodes"]
        data = json.dumps(hostile({"state": node["workers"][0], **runs}))
        await route.fulfill(body=f"event: snapshot\ndata: {data}\n\n", content_type="text/event-stream")
        return
    found = GIVEN.get(f"/admin/{path}") or await (await route.fetch()).json()
    await route.fulfill(json=hostile(found))


async def test_text_of_others(tmp_path: Path, binaries: Path) -> None:
    """Names, prompts, responses, errors and settings are shown as text on every page, wherever they contain HTML."""
    program = binaries / "dragoman"
    flags = ("--backend", "api", "--runs-content", "--budget", "20usd/month")
    async with serving(tmp_path, *flags, program=program) as gateway, tab() as (page, log):
        run = await ask(gateway, "Hello")
        async with httpx.AsyncClient(base_url=gateway.address, timeout=300) as http:
            await http.post("/admin/teams", json={"name": "team", "budget": ["5usd/day"]})
        await page.route("**/admin/**", answer_hostile)
        await page.route("**/v1/models", answer_hostile)

        async def shows_text() -> None:
            await expect(page.locator("main")).to_contain_text(HOSTILE)
            assert await page.locator("main img, main b").count() == 0

        for path in ("", f"runs/{run}", "usage", "plan", "cache", "playground", "nodes", "settings", "keys"):
            await page.goto("about:blank")
            await page.goto(f"{gateway.address}/dashboard#/{path}")
            await shows_text()
        for name in ("Teams", "Audit"):
            await page.get_by_role("button", name=name).click()
            await expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
            await shows_text()
        assert log.errors == []
