"""The page at `/docs` in a browser, with a gateway that the command line started."""

import json
from pathlib import Path

import httpx
from browsing import needs_browser, serving, tab
from playwright.async_api import Locator, Page, expect

pytestmark = needs_browser


def form(page: Page, path: str) -> Locator:
    """Return the form of one endpoint."""
    return page.locator(f'form[data-method="post"][data-path="{path}"]')


def chat_body(text: str, **fields: object) -> str:
    """Return the text to type into the form."""
    return json.dumps({"model": "sonnet", "messages": [{"role": "user", "content": text}], **fields})


async def test_request_from_the_page(tmp_path: Path) -> None:
    """The page's example and another request get responses. The browser blocks nothing that the page loads or runs."""
    async with serving(tmp_path) as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/docs")
        chat = form(page, "/v1/chat/completions")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("pre")).to_contain_text("[DONE]")
        await chat.locator("textarea").fill(chat_body("Reply with exactly: PONG"))
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("pre")).to_contain_text("chat.completion")
        await expect(chat.locator("output")).to_contain_text("200 in", timeout=60_000)
        answer = json.loads(await chat.locator("pre").inner_text())
        assert answer["choices"][0]["message"]["content"] == "PONG"
        assert all(address.startswith((gateway.address, "data:")) for address in log.requests)
        assert log.errors == []


async def test_ids_and_filters(tmp_path: Path) -> None:
    """A form takes the id of what another one created, leaves empty filters out, and is copied as a program."""
    async with serving(tmp_path) as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/docs")
        create = form(page, "/v1/responses")
        await create.locator("textarea").fill('{"model": "sonnet", "input": "Reply with exactly: PONG"}')
        await create.locator("button:text('Send')").click()
        await expect(create.locator("output")).to_contain_text("200 in", timeout=60_000)
        created = json.loads(await create.locator("pre").inner_text())["id"]
        items = page.locator('form[data-method="get"][data-path="/v1/responses/{id}/input_items"]')
        await expect(items.locator('input[name="id"]')).to_have_value(created)
        await items.locator('input[name="order"]').fill("asc")
        await items.locator("button:text('Send')").click()
        await expect(items.locator("output")).to_contain_text("200 in", timeout=60_000)
        sent = [address for address in log.requests if "input_items" in address]
        for language, words in (("curl", "curl -X GET"), ("Python", "urllib.request"), ("Node", "await fetch(")):
            await items.locator(f"button:text('{language}')").click()
            await expect(items.locator("pre")).to_contain_text(words)
            await expect(items.locator("pre")).to_contain_text(f"/v1/responses/{created}/input_items?order=asc")
    assert sent == [f"{gateway.address}/v1/responses/{created}/input_items?order=asc"]


async def test_search_and_schemas(tmp_path: Path) -> None:
    """The search leaves what has the words. A link to a schema unfolds it. The reading view has no forms."""
    async with serving(tmp_path) as gateway, tab() as (page, log):
        await page.goto(f"{gateway.address}/docs")
        await page.get_by_label("Search endpoints and schemas").fill("embeddings")
        await expect(form(page, "/v1/embeddings")).to_be_visible()
        await expect(form(page, "/v1/chat/completions")).to_be_hidden()
        await page.get_by_label("Search endpoints and schemas").fill("")
        await page.goto(f"{gateway.address}/docs#schema-EmbeddingCreateRequest")
        await expect(page.locator("#schema-EmbeddingCreateRequest table").first).to_be_visible()
        await page.goto(f"{gateway.address}/redoc")
        await expect(page.locator("form")).to_have_count(0)
        await expect(page.locator("#post-v1-embeddings table").first).to_be_visible()
        assert log.errors == []


async def test_stream_in_the_page(tmp_path: Path) -> None:
    """Each part is shown when it arrives. The button stops the stream."""
    async with serving(tmp_path) as gateway, tab() as (page, _), httpx.AsyncClient(timeout=300) as http:
        await page.goto(f"{gateway.address}/docs")
        chat = form(page, "/v1/chat/completions")
        shown, state = chat.locator("pre"), chat.locator("output")
        await chat.locator("textarea").fill(chat_body("Count to 3\nSimulate: hold after 1", stream=True))
        await chat.locator("button:text('Send')").click()
        await expect(shown).to_contain_text('"content":"1')
        await expect(shown).not_to_contain_text("[DONE]")
        await http.post(f"{gateway.simulator}/_simulator/release")
        await expect(shown).to_contain_text("[DONE]")
        await expect(state).to_contain_text("200 in", timeout=60_000)

        await chat.locator("button:text('Send')").click()
        await expect(shown).to_contain_text('"content":"1')
        await chat.locator("button:text('Stop')").click()
        await expect(state).to_have_text("stopped")


async def test_gateway_with_a_key(tmp_path: Path) -> None:
    """The page opens without the key, shows the error, and keeps a typed key until it is closed."""
    async with serving(tmp_path, "--api-key", "the-key") as gateway, tab() as (page, _):
        await page.goto(f"{gateway.address}/docs")
        chat = form(page, "/v1/chat/completions")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("output")).to_contain_text("401 in")
        await expect(chat.locator("pre")).to_contain_text("invalid_api_key")
        await page.get_by_label("Key of the gateway").fill("the-key")
        await chat.locator("button:text('Send')").click()
        await expect(chat.locator("output")).to_contain_text("200 in", timeout=60_000)
        await page.reload()
        await expect(page.get_by_label("Key of the gateway")).to_have_value("")
