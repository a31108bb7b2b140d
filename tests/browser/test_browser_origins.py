"""What pages of other origins can do with a gateway in a browser."""

from pathlib import Path

import httpx
from browsing import FOREIGN, foreign_site, needs_browser, serving, tab
from playwright.async_api import Page

pytestmark = needs_browser

READ_STREAM = """
async ([address, text]) => {
    window.received = "";
    const messages = [{ role: "user", content: text }];
    const answer = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer none" },
        body: JSON.stringify({ model: "sonnet", stream: true, messages }),
    });
    window.names = [...answer.headers.keys()];
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) window.received += part.value;
}
"""
"""Reads a stream, as a page does."""

FETCH = """
async ([address, options]) => {
    try {
        const answer = await fetch(address, options);
        return `${answer.type} ${answer.status}`;
    } catch (error) {
        return error.name;
    }
}
"""


FRAME = """
(address) => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.onload = done;
    frame.src = address;
    document.body.append(frame);
})
"""
"""Shows an address in a frame."""


async def test_allowed_origin(tmp_path: Path) -> None:
    """The page can send requests, and reads a stream part by part and the gateway's response headers."""
    async with foreign_site() as origin, serving(tmp_path, "--allow-origin", origin) as gateway, tab() as (page, log):
        await page.goto(origin)
        text = "Count to 3\nSimulate: hold after 1"
        await page.evaluate(f"(given) => {{ window.reading = ({READ_STREAM})(given); }}", [gateway.address, text])
        await page.wait_for_function('window.received.includes(\'"content":"1\')')
        assert "[DONE]" not in await page.evaluate("window.received")
        async with httpx.AsyncClient(timeout=300) as http:
            await http.post(f"{gateway.simulator}/_simulator/release")
        await page.evaluate("window.reading")
        assert (await page.evaluate("window.received")).rstrip().endswith("data: [DONE]")
        headers = {"x-request-id", "x-dragoman-run-id", "x-dragoman-path", "x-dragoman-warnings", "server-timing"}
        assert headers <= set(await page.evaluate("window.names"))
        assert log.errors == []


async def test_other_origin(tmp_path: Path) -> None:
    """Every kind of request is refused. The page reads nothing, and no run starts."""
    async with foreign_site() as origin, serving(tmp_path) as gateway, tab() as (page, _):
        await page.goto(origin)
        body = '{"messages": [{"role": "user", "content": "Hello"}]}'
        plain = {"method": "POST", "mode": "no-cors", "body": body}
        preflighted = {"method": "POST", "body": body, "headers": {"content-type": "application/json"}}
        chat = f"{gateway.address}/v1/chat/completions"
        assert await page.evaluate(FETCH, [chat, preflighted]) == "TypeError"
        assert await page.evaluate(FETCH, [chat, {"method": "POST", "body": body}]) == "TypeError"
        assert await page.evaluate(FETCH, [f"{gateway.address}/v1/models", {}]) == "TypeError"
        # The browser sends this request and hides the response, so the gateway must refuse it.
        assert await page.evaluate(FETCH, [chat, plain]) == "opaque 0"
        assert await runs(gateway.address) == []


async def test_dns_rebinding(tmp_path: Path) -> None:
    """A page whose own host name resolves to this machine has the same origin for the browser. It is refused too."""
    async with serving(tmp_path) as gateway, tab() as (page, _):
        rebound = gateway.address.replace("127.0.0.1", FOREIGN)
        answer = await page.goto(f"{rebound}/docs")
        assert answer is not None
        assert answer.status == 403
        assert "host_not_allowed" in await answer.text()
        assert await fetch_result(page, f"{rebound}/v1/models") == "basic 403"


async def test_other_pages_and_the_dashboard(tmp_path: Path) -> None:
    """Pages of another site, or of a program on this machine, can neither frame the dashboard nor use its session.

    The browser sends the session's cookie with requests of the second one: for a browser it is the same site.
    """
    async with (
        foreign_site() as origin,
        serving(tmp_path, "--backend", "api", "--api-key", "the-key") as gateway,
        tab() as (page, _),
    ):
        await page.goto(f"{gateway.address}/dashboard")
        await page.get_by_label("API key").fill("the-key")
        await page.keyboard.press("Enter")
        await page.locator("main h1").get_by_text("Now").wait_for()
        for address in (origin, origin.replace(FOREIGN, "127.0.0.1")):
            await page.goto(address)
            await page.evaluate(FRAME, f"{gateway.address}/dashboard")
            [frame] = page.main_frame.child_frames
            assert await frame.locator("nav, form").count() == 0
            body = '{"name": "forged"}'
            forged = {"method": "POST", "mode": "no-cors", "credentials": "include", "body": body}
            assert await page.evaluate(FETCH, [f"{gateway.address}/admin/teams", forged]) == "opaque 0"
            read = {"credentials": "include"}
            assert await page.evaluate(FETCH, [f"{gateway.address}/admin/runs", read]) == "TypeError"
        headers = {"authorization": "Bearer the-key"}
        async with httpx.AsyncClient(base_url=gateway.address, headers=headers, timeout=300) as http:
            assert (await http.get("/admin/teams")).json()["teams"] == []


async def fetch_result(page: Page, address: str) -> object:
    """Return the result of a request that the page sends."""
    return await page.evaluate(FETCH, [address, {}])


async def runs(address: str) -> object:
    """Return the runs of a gateway."""
    async with httpx.AsyncClient(base_url=address, timeout=300) as http:
        return (await http.get("/admin/runs")).json()["runs"]
