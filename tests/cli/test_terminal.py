"""Colours are used only in a terminal that wants them. Control characters from clients are escaped."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from commands import TIMEOUT, line, run, started

ESCAPE = "\x1b["
EVIL = "\x1b]0;mine\x07\x9b2J"
"""Control codes that change the title of a terminal and clear it."""
COLOURLESS = [{"NO_COLOR": "1"}, {"TERM": "dumb"}]


class Screen:
    """A terminal and its output."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._shown = b""

    async def until(self, text: str) -> str:
        """Read until the output contains a text. Return all output."""
        while text.encode() not in self._shown:
            self._shown += await asyncio.wait_for(asyncio.to_thread(os.read, self._ours, 65_536), TIMEOUT)
        return self._shown.decode()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._ours)
        os.close(self.theirs)


@asynccontextmanager
async def a_screen() -> AsyncIterator[Screen]:
    """Open a terminal."""
    screen = Screen()
    try:
        yield screen
    finally:
        screen.close()


@asynccontextmanager
async def serving(home: Path, screen: Screen, *flags: str, **added: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway that logs to a terminal."""
    given = ("serve", "--simulate", "-p", "0", "--spares", "0", *flags)
    async with started(home, *given, stderr=screen.theirs, added=added) as process:
        address = (await line(process, "http")).split()[-1].removesuffix("/v1")
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
            yield http


@pytest.mark.parametrize("flags", [(), ("--minimal",)], ids=["in full", "in short"])
async def test_control_characters_in_the_log(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Control characters in a path are escaped. The log is coloured."""
    async with a_screen() as screen, serving(tmp_path, screen, *flags, TERM="xterm") as http:
        await http.get(f"/v1/models/{quote(EVIL)}")
        await http.get("/last")
        shown = await screen.until("/last")
    assert r"\u001b]0;mine\u0007\u009b2J" in shown
    assert ESCAPE in shown
    assert not {"\x07", "\x9b"} & set(shown)
    assert set(re.findall("\x1b.", shown)) == {ESCAPE}


@pytest.mark.parametrize("added", COLOURLESS, ids=str)
@pytest.mark.parametrize("flags", [(), ("--minimal",)], ids=["in full", "in short"])
async def test_the_log_without_colours(tmp_path: Path, flags: tuple[str, ...], added: dict[str, str]) -> None:
    """With `NO_COLOR`, or in a terminal without colours, the log is text without colours."""
    async with a_screen() as screen, serving(tmp_path, screen, *flags, **{"TERM": "xterm", **added}) as http:
        await http.get("/health")
        shown = await screen.until("/health" if flags else "/health  status=200")
    assert "\x1b" not in shown
    assert not shown.startswith("{")


async def shown_by(home: Path, *arguments: str, **added: str) -> str:
    """Return what a command prints in a terminal."""
    async with a_screen() as screen:
        async with started(home, *arguments, stdout=screen.theirs, stderr=screen.theirs, added=added) as process:
            await asyncio.wait_for(process.wait(), TIMEOUT)
        os.write(screen.theirs, b"\nEnd.")
        return await screen.until("End.")


@pytest.mark.parametrize("arguments", [("config",), ("models", "--port", "1"), ("connect", "cursor", "--port", "1")])
async def test_colours_of_commands(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Commands use no colours in a pipe, with `NO_COLOR`, or in a terminal without colours."""
    assert ESCAPE in await shown_by(tmp_path, *arguments, TERM="xterm", NO_COLOR="")
    for added in COLOURLESS:
        assert "\x1b" not in await shown_by(tmp_path, *arguments, **{"TERM": "xterm", **added})
    piped = await run(tmp_path, *arguments)
    assert "\x1b" not in piped.out + piped.err
