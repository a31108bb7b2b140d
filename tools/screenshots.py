"""Take the pictures of the dashboard for the docs: `make screenshots`. With a directory, take those of all pages there.

Starts a simulated gateway, sends it requests, and opens its pages in Chromium.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images"
_ADDRESS_TIMEOUT = 60
_QUESTIONS = (
    "Count to 20",
    "Reply with exactly: The tests pass.",
    "Which file reads the settings?",
    "Write a haiku about rivers",
    "Count to 200",
)
_FLAGS = (
    *("--runs-content", "--log-level", "off", "--port", "0", "--minimal"),
    *("--budget", "0.5usd/day", "--budget", "5usd/month"),
)
_PAGES = {
    "now": ("", "#recent li"),
    "run": ("runs/{run}", "#costs table"),
    "usage": ("usage", "#model table"),
    "plan": ("plan", "main h2"),
    "cache": ("cache", "#reasons table"),
    "playground": ("playground", "main button"),
    "keys": ("keys", "#list :is(table, p)"),
    "nodes": ("nodes", "#nodes table"),
    "settings": ("settings", "main table"),
}
"""The path of each page, and what it shows when it has its data."""
_IN_DOCS = frozenset({"now-wide-light", "now-wide-dark", "run-wide-dark", "cache-wide-light", "now-narrow-dark"})
_SIZES = {"wide": (1440, 900), "narrow": (390, 844)}


@contextmanager
def gateway(state: Path) -> Iterator[str]:
    """Start a simulated gateway, and yield its address."""
    command = [sys.executable, "-m", "dragoman.cli", "serve", "--simulate", "--backend", "api", *_FLAGS]
    environment = {**os.environ, "DRAGOMAN_STATE_DIR": str(state)}
    with subprocess.Popen(  # noqa: S603 - a fixed command
        command, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def fill(address: str) -> str:
    """Send requests as a few clients would. Return the id of a run to show."""
    async with httpx.AsyncClient(base_url=address, timeout=_ADDRESS_TIMEOUT) as http:
        shown = ""
        system = "You are a careful engineer. " * 700
        history: list[dict[str, str]] = []
        for turn in range(12):
            for model in ("sonnet", "opus", "haiku")[: 1 + turn % 3]:
                question = _QUESTIONS[(turn + len(model)) % len(_QUESTIONS)]
                messages = [{"role": "system", "content": system}, *history, {"role": "user", "content": question}]
                body = {"model": model, "messages": messages, "max_tokens": 2000}
                response = await http.post("/v1/chat/completions", json=body)
                text = response.json()["choices"][0]["message"]["content"]
                history = [*history[-6:], {"role": "user", "content": question}, {"role": "assistant", "content": text}]
                shown = response.headers["x-dragoman-run-id"]
        await http.post(
            "/v1/chat/completions",
            json={"model": "sonnet", "messages": [{"role": "user", "content": "Simulate: error 529"}]},
        )
        return shown


async def picture(page: Page, ready: str, path: Path) -> None:
    """Wait until the page shows its data and is drawn, and store its picture."""
    await page.locator(ready).first.wait_for()
    await page.evaluate("document.fonts.ready")
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.screenshot(path=path, animations="disabled")


async def take(browser: Browser, address: str, run: str, target: Path) -> None:
    """Take the pictures of all pages, in all sizes, light and dark."""
    for size, (width, height) in _SIZES.items():
        for scheme in ("light", "dark"):
            page = await browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="light" if scheme == "light" else "dark"
            )
            for name, (path, ready) in _PAGES.items():
                if target == TARGET and f"{name}-{size}-{scheme}" not in _IN_DOCS:
                    continue
                await page.goto(f"{address}/dashboard#/{path.format(run=run)}")
                await picture(page, ready, target / f"dashboard-{name}-{size}-{scheme}.png")
            await page.close()


async def main(target: Path) -> None:
    """Take all pictures."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as state, gateway(Path(state)) as address:
        run = await fill(address)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-proxy-server"])
            await take(browser, address, run, target)
            await browser.close()


if __name__ == "__main__":
    TO = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    TO.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(TO))
    print(f"{len(list(TO.glob('dashboard-*.png')))} pictures in {TO}")
