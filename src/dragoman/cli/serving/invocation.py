"""How the gateway was started, so that it can be started like this again.

The text of a systemd user unit.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from dragoman.config.loading import flag, variables
from dragoman.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a person said on the command line.

    Attributes:
        arguments: The flags, without secrets: every user of the machine can read a command line.
        secrets: What was given as a secret flag, by its variable: passed on in the environment alone.
    """

    arguments: tuple[str, ...]
    secrets: Mapping[str, str]

    @classmethod
    def of(cls, flags: Mapping[str, object], *others: str) -> "Invocation":
        """From settings, as the command line gave them, and flags that stand for no setting."""
        told = {name: value for name, value in flags.items() if value not in (None, ())}
        hidden = {name for name in told if SecretStr in _kinds(name)}
        arguments = [part for name in told if name not in hidden for part in _as_flags(name, told[name])]
        return cls((*arguments, *others), {variables(name)[0]: str(told[name]) for name in hidden})

    def having(self, *arguments: str) -> "Invocation":
        """The same with more flags, of which the last one of a kind counts."""
        return Invocation((*self.arguments, *arguments), self.secrets)

    @property
    def command(self) -> list[str]:
        """The whole command."""
        return [sys.executable, "-m", "dragoman.cli", "serve", *self.arguments]

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with the secrets."""
        return {**os.environ, **self.secrets}


def _kinds(name: str) -> tuple[object, ...]:
    kind = Settings.model_fields[name].annotation
    return get_args(kind) or (kind,)


def _as_flags(name: str, value: object) -> list[str]:
    named = str(flag(name))
    if isinstance(value, bool):
        return [named if value else f"--no-{named[2:]}"]
    is_path = Path in _kinds(name)
    values = value if isinstance(value, tuple) else (value,)
    return [f"{named}={_from_anywhere(str(one)) if is_path else one}" for one in values]


def _from_anywhere(path: str) -> str:
    """A path that means the same wherever the command is run; a program by its bare name does so already."""
    if os.sep not in path and not Path(path).exists() and shutil.which(path):
        return path
    return str(Path(path).expanduser().absolute())


_MARGIN = 20
_UNIT = """\
# Written by `dragoman service install`; `dragoman service uninstall` removes it.
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
# Another gateway has the port: to try again would not help.
RestartPreventExitStatus=3
# The gateway ends its own processes; whatever is left after its grace is ended with it.
KillMode=mixed
TimeoutStopSec={patience}
NoNewPrivileges=true
UMask=0077

[Install]
WantedBy=default.target
"""


def unit_text(command: Sequence[str], secrets: Path, directory: Path, grace: float) -> str:
    """The unit.

    Args:
        command: What is run.
        secrets: The file with variables that nobody else may read.
        directory: Where it was asked for. It is run there if `.env` stands there, else at home.
        grace: Seconds that running answers have to end.
    """
    return _UNIT.format(
        command=" ".join(map(_quoted, command)),
        secrets=_escaped(str(secrets)),
        directory=_escaped(str(directory)) if (directory / ".env").exists() else "%h",
        patience=int(grace) + _MARGIN,
    )


def _quoted(word: str) -> str:
    """One word of a command line, as systemd reads it."""
    word = _escaped(word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$"))
    return f'"{word}"' if any(letter in word for letter in " \t'\"\\;") or not word else word


def _escaped(text: str) -> str:
    """`%` begins what systemd fills in."""
    return text.replace("%", "%%")
