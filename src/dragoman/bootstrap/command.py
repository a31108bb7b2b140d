"""The Claude Code that the settings name."""

import shutil
from pathlib import Path

from dragoman.settings import BadSettings, Settings, named


def command_of(settings: Settings) -> Path | None:
    """The executable: a file, or what a name leads to on the path of this process; None: the bundled one."""
    if settings.claude_command is None:
        return None
    command = settings.claude_command.expanduser()
    return command.absolute() if command.is_file() else Path(shutil.which(command) or command)


def check_command(settings: Settings) -> None:
    """Refuse to serve with an executable that is none.

    Raises:
        BadSettings: With what to do instead.
    """
    if (command := command_of(settings)) and not shutil.which(command):
        raise BadSettings(
            f"{named('claude_command')}: {command} is no program that can be run. Name another, or leave it out: "
            "Claude Code comes with Dragoman."
        )
