"""Whether a terminal is to be coloured. Where there is none, nothing is.

The figures of a run, as people read them.

A line of the terminal that is written over itself, and goes away at the end.

Showing that something goes on, where it takes over a second and somebody watches.

Waiting for something outside of this process, and saying so where it takes long.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import click


def wanted() -> bool:
    """Whether whoever sits there wants colours, and the terminal has them: https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


_LEAST = 0.0001
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def tokens(run: Mapping[str, object]) -> str:
    """Tokens in and out."""
    usage = run["usage"]
    if not isinstance(usage, Mapping):
        return "-"
    read = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    taken = sum(count for name in read if isinstance(count := usage.get(name), int))
    return f"{taken} + {usage.get('output_tokens', 0)}"


def dollars(run: Mapping[str, object]) -> str:
    """What it cost."""
    cost = run["cost"]
    if not isinstance(cost, int | float):
        return "-"
    return f"<${_LEAST}" if 0 < cost < _LEAST else f"${cost:.4f}"


def took(run: Mapping[str, object]) -> str:
    """How long it took, or has taken so far."""
    stages, created = run["stages"], run["created"]
    if isinstance(stages, Mapping) and isinstance(total := stages.get("total"), int | float):
        return f"{total:.2f} s"
    if run["status"] in {"queued", "running"} and isinstance(created, int | float):
        return f"{time.time() - created:.1f} s"
    return "-"


def ago(moment: object) -> str:
    """How long ago a moment was, in one figure."""
    seconds = int(time.time() - float(str(moment)))
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds // unit} {letter}"
    return f"{max(0, seconds)} s"


def is_watched() -> bool:
    """Whether somebody may watch standard error, at a terminal that can write over a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def rewrite(words: str = "") -> None:
    """Put these words into the place of those that are there; without words, none. One line however narrow it is."""
    columns = shutil.get_terminal_size().columns
    # As a colour this would be left out where none are wanted.
    click.echo(f"\r\033[K{words[: columns - 1]}", nl=False, err=True, color=True)


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


_Found = TypeVar("_Found")

_PAUSE = 0.05
_LONG = 1.0


def wait_for(look: Callable[[], _Found | None], words: str, seconds: float) -> _Found | None:
    """Look until there is something, or the time is over.

    Args:
        look: What is asked again and again.
        words: What is waited for: told on standard error after a second, on a terminal with the seconds beside it.
        seconds: How long at most.
    """
    began = time.monotonic()
    told = 0
    try:
        while (found := look()) is None and (passed := time.monotonic() - began) < seconds:
            if passed >= max(_LONG, told + _LONG) and (told == 0 or is_watched()):
                told = int(passed)
                _tell(f"{words} ({told} s)")
            time.sleep(_PAUSE)
    finally:
        if told and is_watched():
            rewrite()
    return found


def _tell(words: str) -> None:
    """One line, written over itself where that can be seen."""
    if is_watched():
        rewrite(words)
    else:
        click.echo(words, err=True)
