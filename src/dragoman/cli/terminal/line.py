"""A line of the terminal that is written over itself, and goes away at the end."""

import os
import shutil
import sys

import click


def is_watched() -> bool:
    """Whether somebody may watch standard error, at a terminal that can write over a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def rewrite(words: str = "") -> None:
    """Put these words into the place of those that are there; without words, none. One line however narrow it is."""
    columns = shutil.get_terminal_size().columns
    # As a colour this would be left out where none are wanted.
    click.echo(f"\r\033[K{words[: columns - 1]}", nl=False, err=True, color=True)
