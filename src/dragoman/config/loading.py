"""How each setting can be given, and putting all of them together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast, get_args

from pydantic import SecretStr, ValidationError

from dragoman.config.settings import Settings
from dragoman.config.sources import Source, all_sources, closest_match, info_of
from dragoman.config.values import SettingInfo

ENV_FILE = Path(".env")
"""Read from the working directory, if it is there."""

_BYTES = "write a number of bytes, or one with its unit, such as 64MiB"
_PLAINER = {
    "bool_parsing": "write `true` or `false`",
    "byte_size": _BYTES,
    "byte_size_unit": _BYTES,
    "float_parsing": "write a number",
    "int_parsing": "write a whole number",
}
"""What is said of a value, by the kind of problem, where the library's own words are for programmers."""


class BadSettings(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The settings cannot be used; the text names each setting and the ways to give it. Holds no secret."""


def setting_info(name: str) -> SettingInfo:
    """How a setting can be given."""
    return info_of(Settings.model_fields[name])


def all_setting_info() -> dict[str, SettingInfo]:
    """How each setting can be given."""
    return {name: setting_info(name) for name in Settings.model_fields}


def variables(name: str) -> tuple[str, ...]:
    """The variables of a setting, the stronger one first."""
    return setting_info(name).variables_of(name)


def flag(name: str) -> str | None:
    """The long flag of a setting."""
    return setting_info(name).flag_of(name)


def describe_setting(name: str, inside: str = "") -> str:
    """A setting as errors name it: with the ways to give it.

    Args:
        name: The setting.
        inside: Which part of it is at fault.
    """
    ways = ", ".join(way for way in (flag(name), *variables(name)) if way)
    return f"{name}{inside} ({ways})"


def sources(flags: Mapping[str, object], env_file: Path | str | None = ENV_FILE) -> tuple[Source, ...]:
    """Every place that settings come from, the strongest first.

    Raises:
        BadSettings: The settings file cannot be read.
    """
    try:
        return all_sources(all_setting_info(), flags, env_file)
    except ValueError as error:
        raise _bad_file(error) from None


def is_secret(name: str) -> bool:
    """Whether a setting may never be shown."""
    kind = Settings.model_fields[name].annotation
    return SecretStr in (get_args(kind) or (kind,))


def load(flags: Mapping[str, object], *, env_file: Path | None = ENV_FILE) -> Settings:
    """Put the settings together.

    Args:
        flags: What the command line says, by setting.
        env_file: The `.env` file, read if it is there.

    Raises:
        BadSettings: A value is wrong or a file cannot be read.
    """
    make = cast("Callable[..., Settings]", Settings)
    try:
        return make(_env_file=env_file, **flags)
    except ValidationError as error:
        found = error.errors(include_input=False)
        lines = (_problem(part["loc"], _PLAINER.get(part["type"], part["msg"])) for part in found)
        raise BadSettings("\n".join(lines)) from None
    except ValueError as error:
        raise _bad_file(error) from None


def _problem(where: tuple[int | str, ...], message: str) -> str:
    name, message = str(where[0]) if where else "", message.removeprefix("Value error, ")
    if name and name not in Settings.model_fields:
        meant = closest_match(name, Settings.model_fields)
        return f"{name}: there is no such setting" + (f"; did you mean {meant}?" if meant else "")
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where[1:])
    return f"{describe_setting(name, inside)}: {message}" if name else message


def _bad_file(error: ValueError) -> BadSettings:
    return BadSettings(f"config (--config, DRAGOMAN_CONFIG): {error}")
