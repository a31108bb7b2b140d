"""The page at `/docs`, as it is used: in a browser, against a gateway that the command started."""

import json
from pathlib import Path

import httpx
import pytest
from browsing import needs_browser, serving, tab
from playwright.async_api import Locator, Page, expect

pytestmark = needs_browser


def form(page: Page, path: str) -> Locator:
    """The form that sends one request."""
    return page.locator(f'form[data-method="post"][data-path="{path}"]')


def question(words: str, **more: object) -> str:
    """What is typed into the form."""
    return json.dumps({"model": "sonnet", "messages": [{"role": "user", "content": words}], **more})


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_question_asked_through_the_page(path: str, tmp_path: Path) -> None:
    """Its own example and another are answered; the browser finds nothing that the page may not load or run."""
    async with serving(tmp_path) as gateway, tab() as (page, seen):
        await page.goto(gateway.address + path)
        chat = form(page, "/v1/chat/completions")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("pre")).to_contain_text("[DONE]")
        await chat.locator("textarea").fill(question("Reply with exactly: PONG"))
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("pre")).to_contain_text("chat.completion")
        await expect(chat.locator("output")).to_contain_text("200 in")
        answer = json.loads(await chat.locator("pre").inner_text())
        assert answer["choices"][0]["message"]["content"] == "PONG"
        assert all(address.startswith((gateway.address, "data:")) for address in seen.asked)
        assert seen.complaints == []


async def test_a_stream_read_by_the_page(tmp_path: Path) -> None:
    """Each piece is shown when it comes, and the button ends what goes on."""
    async with serving(tmp_path) as gateway, tab() as (page, _), httpx.AsyncClient() as http:
        await page.goto(f"{gateway.address}/docs")
        chat = form(page, "/v1/chat/completions")
        shown, state = chat.locator("pre"), chat.locator("output")
        await chat.locator("textarea").fill(question("Count to 3\nSimulate: hold after 1", stream=True))
        await chat.locator("button:text('Send')").click()
        await expect(shown).to_contain_text('"content":"1')
        await expect(shown).not_to_contain_text("[DONE]")
        await http.post(f"{gateway.simulator}/_simulator/release")
        await expect(shown).to_contain_text("[DONE]")
        await expect(state).to_contain_text("200 in")

        await chat.locator("button:text('Send')").click()
        await expect(shown).to_contain_text('"content":"1')
        await chat.locator("button:text('Stop')").click()
        await expect(state).to_have_text("stopped")


async def test_a_gateway_with_a_key(tmp_path: Path) -> None:
    """The page opens without the key, says what is missing, and takes one for as long as it is open."""
    async with serving(tmp_path, "--api-key", "the-key") as gateway, tab() as (page, _):
        await page.goto(f"{gateway.address}/docs")
        chat = form(page, "/v1/chat/completions")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("output")).to_contain_text("401 in")
        await expect(chat.locator("pre")).to_contain_text("invalid_api_key")
        await page.get_by_label("Key of the gateway").fill("the-key")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("output")).to_contain_text("200 in")
        await page.reload()
        await expect(page.get_by_label("Key of the gateway")).to_have_value("")
