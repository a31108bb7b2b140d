"""`dragoman service`: a systemd user unit that runs the gateway."""

import os
import shutil
import sys
from pathlib import Path

import click

from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.serving.invocation import Invocation
from dragoman.config.sources import default_config_file

_STOP_MARGIN = 20
"""Seconds that systemd waits beyond the grace period before it kills the gateway."""
_UNIT = """\
# Written by `dragoman service install`. `dragoman service uninstall` removes it.
[Unit]
Description=Dragoman, an OpenAI-compatible gateway in front of Claude
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart={command}
EnvironmentFile=-{secrets}
WorkingDirectory={directory}
Restart=on-failure
RestartSec=2
# Another gateway has the port. A restart would fail again.
RestartPreventExitStatus=3
# The gateway ends its own processes. systemd ends what remains after the grace period.
KillMode=mixed
TimeoutStopSec={timeout}
NoNewPrivileges=true
UMask=0077

[Install]
WantedBy=default.target
"""
_SECRETS = """\
# Environment variables of the gateway service. Put secrets here: only you can read this file.
#ANTHROPIC_API_KEY=
#DRAGOMAN_API_KEY=
"""
_AFTER_INSTALL = """\
Wrote {unit}
Put secrets into {secrets}

  systemctl --user daemon-reload
  systemctl --user enable --now dragoman      start it now and at each login
  loginctl enable-linger                      run it without a login, too
  dragoman status                             show its state"""
_AFTER_UNINSTALL = """\
Removed {unit}. {secrets} was not removed.

  systemctl --user disable --now dragoman     stop it, if it is still running
  systemctl --user daemon-reload"""


@click.group("service")
def service() -> None:
    """Run the gateway as a systemd user service."""


@service.command("install", short_help="Write the unit and show how to enable it.")
@settings_options()
def install(**flags: object) -> None:
    """Write a unit that runs `dragoman serve` with these flags, and show how to enable it."""
    text, unit, secrets = _unit_text(flags), _unit_path(), _secrets_path()
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(text, encoding="utf-8")
    _create_secrets_file(secrets)
    click.echo(_AFTER_INSTALL.format(unit=unit, secrets=secrets))
    if shutil.which("systemctl") is None:
        click.echo(
            "\nThis machine has no systemctl, so the unit has no effect here. `dragoman serve --background` works "
            "without systemd.",
            err=True,
        )


@service.command("show")
@settings_options()
def show(**flags: object) -> None:
    """Print the unit that `install` would write."""
    click.echo(_unit_text(flags), nl=False)


@service.command("uninstall")
def uninstall() -> None:
    """Remove the unit and show how to disable it."""
    unit = _unit_path()
    try:
        unit.unlink()
    except FileNotFoundError:
        raise click.ClickException(f"{unit} does not exist. `dragoman service install` writes it.") from None
    click.echo(_AFTER_UNINSTALL.format(unit=unit, secrets=_secrets_path()))


def _unit_text(flags: dict[str, object]) -> str:
    settings = settings_from(flags)
    invocation = Invocation.from_flags(flags)
    if invocation.secrets:
        names = ", ".join(invocation.secrets)
        raise click.ClickException(
            f"Other users can read a unit, so it must not contain secrets. Put {names} into {_secrets_path()} instead."
        )
    if settings.reload:
        raise click.ClickException("--reload works only in a terminal. Leave it out.")
    directory = Path.cwd()
    return _UNIT.format(
        command=" ".join(map(_quote, [sys.executable, *invocation.command[1:]])),
        secrets=_escape(str(_secrets_path())),
        # A gateway with a `.env` file must find it. Any other gateway runs in the home directory.
        directory=_escape(str(directory)) if (directory / ".env").exists() else "%h",
        timeout=int(settings.shutdown_grace) + _STOP_MARGIN,
    )


def _quote(word: str) -> str:
    """Return one word of a command line as systemd parses it."""
    word = _escape(word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$"))
    return f'"{word}"' if any(character in word for character in " \t'\"\\;") or not word else word


def _escape(text: str) -> str:
    """Escape `%`, which starts a systemd specifier."""
    return text.replace("%", "%%")


def _unit_path() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "systemd" / "user" / "dragoman.service"


def _secrets_path() -> Path:
    return default_config_file().with_name("service.env")


def _create_secrets_file(path: Path) -> None:
    """Create the file if it does not exist. Allow access for its owner only in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode
            file.write(_SECRETS)
    except FileExistsError:
        path.chmod(0o600)
