"""Showing that something goes on, where it takes over a second and somebody watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dragoman.cli.terminal.line import is_watched, rewrite

_STEP = 1.0


@asynccontextmanager
async def progress(words: str) -> AsyncIterator[None]:
    """While this lasts, show the words and the seconds on a terminal, on a line that goes away at the end."""
    if not is_watched():
        yield
        return
    ticking = asyncio.create_task(_tick(words))
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.wait([ticking])


async def _tick(words: str) -> None:
    seconds = 0
    try:
        while True:
            await asyncio.sleep(_STEP)
            seconds += 1
            rewrite(f"{words} ({seconds} s)")
    finally:
        if seconds:
            rewrite()
