"""`dragoman login`."""

import click

from dragoman.cli.claude_auth import run_auth
from dragoman.cli.options import settings_options


@click.command("login")
@settings_options(["claude_command", "config"])
def command(**flags: object) -> None:
    """Sign in to Claude Code, by its own command: `claude auth login`."""
    run_auth("login", flags)
