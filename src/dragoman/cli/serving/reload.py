"""`serve --reload`: a parent that watches and a child that serves."""

import logging
import shlex
import sys
from pathlib import Path

import click
import watchfiles

import dragoman
from dragoman.settings import Settings
from dragoman.settings.sources import usual_file

_PATIENCE = 15


def run_reloading(settings: Settings) -> None:
    """Serve in a child, and start it again whenever the code, `.env` or the settings file changes."""
    paths = (Path(dragoman.__file__).parent, Path(".env"), settings.config or usual_file())
    watched = [path for path in paths if path.exists()]
    logging.getLogger("watchfiles").setLevel(logging.ERROR)  # it would tell of Ctrl-C
    arguments = [sys.executable, "-m", "dragoman.cli", *sys.argv[1:], "--no-reload"]
    click.echo(f"Watching {', '.join(map(str, watched))}")
    watchfiles.run_process(
        *watched, target=shlex.join(arguments), target_type="command", sigint_timeout=_PATIENCE, callback=_tell
    )


def _tell(changes: set[tuple[watchfiles.Change, str]]) -> None:
    names = sorted({Path(path).name for _, path in changes})
    click.echo(f"Changed: {', '.join(names)}. Starting again.")
