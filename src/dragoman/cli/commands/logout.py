"""`dragoman logout`."""

import click

from dragoman.cli.claude_auth import run_auth
from dragoman.cli.options import settings_options


@click.command("logout")
@settings_options(["claude_command", "config"])
def command(**flags: object) -> None:
    """Sign out of Claude Code, by its own command: `claude auth logout`."""
    run_auth("logout", flags)
