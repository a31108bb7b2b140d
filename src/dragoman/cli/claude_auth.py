"""Running the official sign-in commands, and nothing more: no token passes through here."""

import os
import subprocess

import click

from dragoman.backends.shared.installation import locate
from dragoman.cli.options import settings_from
from dragoman.core.errors import GatewayError
from dragoman.wiring.backends import runtime_options


def run_auth(action: str, flags: dict[str, object]) -> None:
    """Run `claude auth ACTION` in this terminal and end with its exit code.

    Raises:
        ClickException: There is no Claude Code to run.
    """
    settings = settings_from(flags)
    try:
        command = locate(runtime_options(settings))
    except GatewayError as error:
        raise click.ClickException(error.message) from None
    where = {"CLAUDE_CONFIG_DIR": str(settings.claude_config_dir)} if settings.claude_config_dir else {}
    try:
        done = subprocess.run([command, "auth", action], env={**os.environ, **where}, check=False)  # noqa: S603 - the owner's
    except OSError as error:
        raise click.ClickException(
            f"Cannot run {command}: {error.strerror}. Name another with --claude-command."
        ) from None
    raise SystemExit(done.returncode)
