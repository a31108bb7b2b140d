"""Terminal output: whether to use colour, a progress line, and waiting with a progress line."""

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import click

_T = TypeVar("_T")

_PROGRESS_INTERVAL = 1.0
"""Seconds before the first progress line, and between two of them."""
_POLL_INTERVAL = 0.05
PROGRAM = "dragoman"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def wants_color() -> bool:
    """Return whether the user wants colour and the terminal supports it. See https://no-color.org."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def as_typed(text: str) -> str:
    """Return a text whose commands, such as `dragoman status` in backticks, are what works in this shell.

    After `make`, the program is not on the path: its commands get the path of the program.
    """
    program = Path(sys.argv[0])
    if program.name != PROGRAM or shutil.which(PROGRAM):
        return text
    path = program.absolute()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return text.replace(f"`{PROGRAM} ", f"`{shown} ").replace(f"`{PROGRAM}`", f"`{shown}`")


def format_age(timestamp: object) -> str:
    """Format the time since a Unix timestamp as one number and its unit, such as `5 m`."""
    seconds = int(time.time() - float(str(timestamp)))
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds // unit} {letter}"
    return f"{max(0, seconds)} s"


@asynccontextmanager
async def progress(text: str) -> AsyncIterator[None]:
    """Show a text and the elapsed seconds on a line of the terminal. Remove the line at the end."""
    if not _can_rewrite():
        yield
        return
    ticker = asyncio.create_task(_tick(text))
    try:
        yield
    finally:
        ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticker


async def _tick(text: str) -> None:
    seconds = 0
    try:
        while True:
            await asyncio.sleep(_PROGRESS_INTERVAL)
            seconds += 1
            _rewrite_line(f"{text} ({seconds} s)")
    finally:
        if seconds:
            _rewrite_line()


def wait_for(poll: Callable[[], _T | None], text: str, timeout: float) -> _T | None:
    """Poll until there is a result or the time is over. Return the last result.

    After a second, show the text on standard error. On a terminal, count the seconds.

    Args:
        poll: Returns a result, or None to be called again.
        text: What the command waits for.
        timeout: In seconds.
    """
    began = time.monotonic()
    shown = 0
    try:
        while (result := poll()) is None and (elapsed := time.monotonic() - began) < timeout:
            if elapsed >= shown + _PROGRESS_INTERVAL and (shown == 0 or _can_rewrite()):
                shown = int(elapsed)
                _show(f"{text} ({shown} s)")
            time.sleep(_POLL_INTERVAL)
    finally:
        if shown and _can_rewrite():
            _rewrite_line()
    return result


def _show(text: str) -> None:
    if _can_rewrite():
        _rewrite_line(text)
    else:
        click.echo(text, err=True)


def _can_rewrite() -> bool:
    """Return whether standard error is a terminal that can overwrite a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _rewrite_line(text: str = "") -> None:
    """Overwrite the current line. The text is cut to the width of the terminal."""
    columns = shutil.get_terminal_size().columns
    with contextlib.suppress(OSError):  # the terminal may be closed by now; the work itself continues
        # `color=True`: without it, click removes these control codes where no colour is wanted.
        click.echo(f"\r\033[K{text[: columns - 1]}", nl=False, err=True, color=True)
