"""What pages of other origins can do with a gateway, by a browser's own rules."""

from pathlib import Path

import httpx
from browsing import FOREIGN, foreign_site, needs_browser, serving, tab
from playwright.async_api import Page

pytestmark = needs_browser

ASK = """
async ([address, words]) => {
    window.said = "";
    const messages = [{ role: "user", content: words }];
    const answer = await fetch(`${address}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: "Bearer none" },
        body: JSON.stringify({ model: "sonnet", stream: true, messages }),
    });
    window.names = [...answer.headers.keys()];
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) window.said += part.value;
}
"""
"""A stream, as a page reads one."""

TRIES = """
async ([address, options]) => {
    try {
        const answer = await fetch(address, options);
        return `${answer.type} ${answer.status}`;
    } catch (error) {
        return error.name;
    }
}
"""


async def test_a_page_of_an_allowed_origin(tmp_path: Path) -> None:
    """It may ask, and reads a stream piece by piece, and what the gateway says beside the answer."""
    async with foreign_site() as origin, serving(tmp_path, "--allow-origin", origin) as gateway, tab() as (page, seen):
        await page.goto(origin)
        words = "Count to 3\nSimulate: hold after 1"
        await page.evaluate(f"(given) => {{ window.asked = ({ASK})(given); }}", [gateway.address, words])
        await page.wait_for_function('window.said.includes(\'"content":"1\')')
        assert "[DONE]" not in await page.evaluate("window.said")
        async with httpx.AsyncClient() as http:
            await http.post(f"{gateway.simulator}/_simulator/release")
        await page.evaluate("window.asked")
        assert (await page.evaluate("window.said")).rstrip().endswith("data: [DONE]")
        told = {"x-request-id", "x-dragoman-run-id", "x-dragoman-path", "x-dragoman-warnings", "server-timing"}
        assert told <= set(await page.evaluate("window.names"))
        assert seen.complaints == []


async def test_a_page_of_another_origin(tmp_path: Path) -> None:
    """It is refused whatever way it asks, and reads nothing; no run comes of it."""
    async with foreign_site() as origin, serving(tmp_path) as gateway, tab() as (page, _):
        await page.goto(origin)
        body = '{"messages": [{"role": "user", "content": "Hello"}]}'
        plain = {"method": "POST", "mode": "no-cors", "body": body}
        preflighted = {"method": "POST", "body": body, "headers": {"content-type": "application/json"}}
        chat = f"{gateway.address}/v1/chat/completions"
        assert await page.evaluate(TRIES, [chat, preflighted]) == "TypeError"
        assert await page.evaluate(TRIES, [chat, {"method": "POST", "body": body}]) == "TypeError"
        assert await page.evaluate(TRIES, [f"{gateway.address}/v1/models", {}]) == "TypeError"
        # Sent all the same, and its answer hidden by the browser: the gateway itself has to refuse it.
        assert await page.evaluate(TRIES, [chat, plain]) == "opaque 0"
        assert await runs(gateway.address) == []


async def test_a_name_that_is_bound_to_this_machine(tmp_path: Path) -> None:
    """A page that has its own name lead here is of the same origin to the browser, and refused all the same."""
    async with serving(tmp_path) as gateway, tab() as (page, _):
        rebound = gateway.address.replace("127.0.0.1", FOREIGN)
        answer = await page.goto(f"{rebound}/docs")
        assert answer is not None
        assert answer.status == 403
        assert "host_not_allowed" in await answer.text()
        assert await tried(page, f"{rebound}/v1/models") == "basic 403"


async def tried(page: Page, address: str) -> object:
    """What becomes of a request of the page."""
    return await page.evaluate(TRIES, [address, {}])


async def runs(address: str) -> object:
    """The runs of a gateway."""
    async with httpx.AsyncClient(base_url=address) as http:
        return (await http.get("/admin/runs")).json()["runs"]
