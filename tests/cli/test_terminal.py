"""At a terminal: colours there alone, none where they are not wanted, and nothing that it would obey."""

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
"""What would give a terminal another title, and empty it."""
COLOURLESS = [{"NO_COLOR": "1"}, {"TERM": "dumb"}]


class Screen:
    """A terminal, and all that was shown on it."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._shown = b""

    async def until(self, words: str) -> str:
        """Read on until this is shown."""
        while words.encode() not in self._shown:
            self._shown += await asyncio.wait_for(asyncio.to_thread(os.read, self._ours, 65_536), TIMEOUT)
        return self._shown.decode()

    def close(self) -> None:
        """Give both ends back."""
        os.close(self._ours)
        os.close(self.theirs)


@asynccontextmanager
async def a_screen() -> AsyncIterator[Screen]:
    """A terminal of one's own."""
    screen = Screen()
    try:
        yield screen
    finally:
        screen.close()


@asynccontextmanager
async def serving(home: Path, screen: Screen, *flags: str, **added: str) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that logs to a terminal."""
    given = ("serve", "--simulate", "-p", "0", "--spares", "0", *flags)
    async with started(home, *given, stderr=screen.theirs, added=added) as process:
        address = (await line(process, "http")).split()[-1].removesuffix("/v1")
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http:
            yield http


@pytest.mark.parametrize("flags", [(), ("--minimal",)], ids=["in full", "in short"])
async def test_the_log_shows_and_does_not_obey(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """What a client puts into a path is shown by its letters; the log is coloured."""
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
    """With `NO_COLOR`, or at a terminal that has none, it is for people all the same."""
    async with a_screen() as screen, serving(tmp_path, screen, *flags, **{"TERM": "xterm", **added}) as http:
        await http.get("/health")
        shown = await screen.until("/health" if flags else "/health  status=200")
    assert "\x1b" not in shown
    assert not shown.startswith("{")


async def shown_by(home: Path, *arguments: str, **added: str) -> str:
    """What a command shows on a terminal."""
    async with a_screen() as screen:
        async with started(home, *arguments, stdout=screen.theirs, stderr=screen.theirs, added=added) as process:
            await asyncio.wait_for(process.wait(), TIMEOUT)
        os.write(screen.theirs, b"\nEnd.")
        return await screen.until("End.")


@pytest.mark.parametrize("arguments", [("config",), ("models", "--port", "1"), ("connect", "cursor", "--port", "1")])
async def test_commands_are_coloured_for_people_alone(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Not in a pipe, not with `NO_COLOR`, not at a terminal without colours."""
    assert ESCAPE in await shown_by(tmp_path, *arguments, TERM="xterm", NO_COLOR="")
    for added in COLOURLESS:
        assert "\x1b" not in await shown_by(tmp_path, *arguments, **{"TERM": "xterm", **added})
    piped = await run(tmp_path, *arguments)
    assert "\x1b" not in piped.out + piped.err
