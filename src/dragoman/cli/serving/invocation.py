"""The command line that starts a gateway, so that another process can start the same one."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from dragoman.cli.options import given_flags
from dragoman.config.loading import flag, variables
from dragoman.config.settings import Settings
from dragoman.core.value_object import value_object


@value_object
class Invocation:
    """The flags of `dragoman serve`.

    Attributes:
        arguments: The flags without secrets, because every user of the machine can read a command line.
        secrets: The values of secret flags, by environment variable. They are passed on in the environment only.
    """

    arguments: tuple[str, ...]
    secrets: Mapping[str, str]

    @classmethod
    def from_flags(cls, flags: Mapping[str, object], *others: str) -> "Invocation":
        """Build an invocation from the flags of settings and from flags that set no setting."""
        given = given_flags(flags)
        secret = {name for name in given if SecretStr in _types(name)}
        arguments = [part for name in given if name not in secret for part in _arguments(name, given[name])]
        return cls((*arguments, *others), {variables(name)[0]: str(given[name]) for name in secret})

    def with_arguments(self, *arguments: str) -> "Invocation":
        """Return a copy with more flags. A later flag overrides an earlier one."""
        return Invocation((*self.arguments, *arguments), self.secrets)

    @property
    def command(self) -> list[str]:
        """The full command line."""
        return [sys.executable, "-m", "dragoman.cli", "serve", *self.arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, with the secrets."""
        return {**os.environ, **self.secrets}


def _types(name: str) -> tuple[object, ...]:
    annotation = Settings.model_fields[name].annotation
    return get_args(annotation) or (annotation,)


def _arguments(name: str, value: object) -> list[str]:
    option = str(flag(name))
    if isinstance(value, bool):
        return [option if value else f"--no-{option[2:]}"]
    is_path = Path in _types(name)
    values = value if isinstance(value, tuple) else (value,)
    return [f"{option}={_absolute(str(one)) if is_path else one}" for one in values]


def _absolute(path: str) -> str:
    """Return a path that is valid in any working directory. The bare name of a program on PATH stays as it is."""
    if os.sep not in path and not Path(path).exists() and shutil.which(path):
        return path
    return str(Path(path).expanduser().absolute())
