"""Helpers for tests in a real browser: gateways, tabs, and pages of a foreign origin."""

import shutil
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from api_harness import raw_server
from commands import TIMEOUT, line, started
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

FOREIGN = "app.example"
"""The host of a page that is not the gateway's."""

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_NAMES = f"MAP {FOREIGN} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""No host name resolves to another machine."""

needs_browser = pytest.mark.skipif(_BROWSER is None, reason="there is no Chromium here; Debian's package is `chromium`")


@dataclass(frozen=True)
class Gateway:
    """A running gateway.

    Attributes:
        address: Its URL.
        simulator: The URL of its simulator.
    """

    address: str
    simulator: str


@asynccontextmanager
async def serving(
    home: Path, *flags: str, added: Mapping[str, str] | None = None, program: Path | None = None
) -> AsyncIterator[Gateway]:
    """Start a gateway with the command line, and with more environment variables; see `commands.started`."""
    arguments = ("serve", "--simulate", "--port", "0", "--spares", "0", *flags)
    async with started(home, *arguments, added=added, program=program) as process:
        address = (await line(process, "OpenAI base URL")).split()[-1].removesuffix("/v1")
        simulated = (await line(process, "simulated at")).partition("simulated at ")[2]
        yield Gateway(address, simulated.partition(": ")[0])


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start a browser that reaches only this machine."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=_BROWSER, args=[f"--host-resolver-rules={_NAMES}", "--no-proxy-server"]
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@dataclass(frozen=True)
class PageLog:
    """The requests and errors of a page.

    Attributes:
        requests: The URLs that it requested.
        errors: Errors and warnings in the browser's console.
    """

    requests: list[str]
    errors: list[str]


@asynccontextmanager
async def tab() -> AsyncIterator[tuple[Page, PageLog]]:
    """Open a page of a new browser, and record what it does."""
    async with browser() as chromium:
        page, log = await chromium.new_page(), PageLog([], [])
        page.set_default_timeout(TIMEOUT * 1000)

        def on_request(request: Request) -> None:
            log.requests.append(request.url)

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                log.errors.append(message.text)

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("pageerror", lambda error: log.errors.append(str(error)))
        yield page, log


@asynccontextmanager
async def foreign_site() -> AsyncIterator[str]:
    """Serve an empty page under another host name. Yield its origin."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"<!doctype html><title>An app</title>"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(page), page))
        await writer.drain()

    async with raw_server(answer) as url:
        yield url.replace("127.0.0.1", FOREIGN)
