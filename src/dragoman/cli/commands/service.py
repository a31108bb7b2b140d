"""`dragoman service`."""

import os
import shutil
import sys
from pathlib import Path

import click

from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.serving.invocation import Invocation, unit_text
from dragoman.config.sources import default_config_file

_SECRETS = """\
# Read by the gateway's service. Secrets stand here, where only you can read them, and not on a command line:
#ANTHROPIC_API_KEY=
#DRAGOMAN_API_KEY=
"""
_ENABLE = """\
Wrote {unit}
Secrets go into {secrets}

  systemctl --user daemon-reload
  systemctl --user enable --now dragoman      starts it, now and at each login
  loginctl enable-linger                      also without a login
  dragoman status                             tells how it is"""
_DISABLE = """\
Removed {unit}; {secrets} stays.

  systemctl --user disable --now dragoman     if it still runs
  systemctl --user daemon-reload"""


@click.group("service")
def command() -> None:
    """Have systemd run the gateway, for the user who asks for it."""


@command.command("install", short_help="Write the unit, and say how to enable it.")
@settings_options()
def install(**flags: object) -> None:
    """Write the unit, with these flags of `serve`, and say how to enable it."""
    text, unit, secrets = _unit(flags), _unit_path(), _secrets_path()
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(text, encoding="utf-8")
    _make_private(secrets)
    click.echo(_ENABLE.format(unit=unit, secrets=secrets))
    if shutil.which("systemctl") is None:
        click.echo("\nThis machine has no systemctl: there the unit does nothing. `--background` needs none.", err=True)


@command.command("show")
@settings_options()
def show(**flags: object) -> None:
    """Print the unit that `install` would write."""
    click.echo(_unit(flags), nl=False)


@command.command("uninstall")
def uninstall() -> None:
    """Remove the unit, and say how to disable it."""
    unit = _unit_path()
    try:
        unit.unlink()
    except FileNotFoundError:
        raise click.ClickException(f"There is no {unit}. `dragoman service install` writes it.") from None
    click.echo(_DISABLE.format(unit=unit, secrets=_secrets_path()))


def _unit(flags: dict[str, object]) -> str:
    settings = settings_from(flags)
    invocation = Invocation.of(flags)
    if invocation.secrets:
        named = ", ".join(invocation.secrets)
        raise click.ClickException(
            f"A unit can be read by others, so no secret goes into it. Write {named} into {_secrets_path()} instead."
        )
    if settings.reload:
        raise click.ClickException("--reload is for development, at a terminal.")
    return unit_text([sys.executable, *invocation.command[1:]], _secrets_path(), Path.cwd(), settings.shutdown_grace)


def _unit_path() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user" / "dragoman.service"


def _secrets_path() -> Path:
    return default_config_file().with_name("service.env")


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode
            file.write(_SECRETS)
    except FileExistsError:
        path.chmod(0o600)
