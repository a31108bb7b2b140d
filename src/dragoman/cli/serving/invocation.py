"""How the gateway was started, so that it can be started like this again."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from dragoman.settings import Settings, flag, variables


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
