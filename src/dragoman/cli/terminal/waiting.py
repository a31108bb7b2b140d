"""Waiting for something outside of this process, and saying so where it takes long."""

import time
from collections.abc import Callable
from typing import TypeVar

import click

from dragoman.cli.terminal.line import is_watched, rewrite

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
