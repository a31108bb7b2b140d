"""Loading settings from all sources, and the names of settings in errors and help."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast, get_args

from pydantic import SecretStr, ValidationError

from dragoman.config.settings import Settings
from dragoman.config.sources import Source, all_sources, closest_match, info_of
from dragoman.config.values import SettingInfo

ENV_FILE = Path(".env")
"""Read from the working directory if it exists."""

_BYTES = "write a number of bytes, or one with its unit, such as 64MiB"
_ERROR_TEXTS = {
    "bool_parsing": "write `true` or `false`",
    "byte_size": _BYTES,
    "byte_size_unit": _BYTES,
    "float_parsing": "write a number",
    "int_parsing": "write a whole number",
}
"""Texts for errors whose text from pydantic is for programmers, by the type of error."""


class BadSettings(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The settings cannot be used. The text names each setting and the ways to give it. It holds no secret."""


def setting_info(name: str) -> SettingInfo:
    """Return how a setting can be given."""
    return info_of(Settings.model_fields[name])


def all_setting_info() -> dict[str, SettingInfo]:
    """Return how each setting can be given."""
    return {name: setting_info(name) for name in Settings.model_fields}


def variables(name: str) -> tuple[str, ...]:
    """Return the environment variables of a setting, the stronger one first."""
    return setting_info(name).variables_of(name)


def flag(name: str) -> str | None:
    """Return the long flag of a setting, if it has one."""
    return setting_info(name).flag_of(name)


def describe_setting(name: str, inside: str = "") -> str:
    """Return the name of a setting with the ways to give it, for errors.

    Args:
        name: The setting.
        inside: The invalid part of it.
    """
    ways = ", ".join(way for way in (flag(name), *variables(name)) if way)
    return f"{name}{inside} ({ways})"


def sources(flags: Mapping[str, object], env_file: Path | str | None = ENV_FILE) -> tuple[Source, ...]:
    """Return all sources of settings, the strongest first.

    Raises:
        BadSettings: The settings file cannot be read.
    """
    try:
        return all_sources(all_setting_info(), flags, env_file)
    except ValueError as error:
        raise _bad_file(error) from None


def is_secret(name: str) -> bool:
    """Return whether a setting must never be shown."""
    kind = Settings.model_fields[name].annotation
    return SecretStr in (get_args(kind) or (kind,))


def load(flags: Mapping[str, object], *, env_file: Path | None = ENV_FILE) -> Settings:
    """Load the settings.

    Args:
        flags: The values of flags, by setting.
        env_file: The `.env` file. It may be missing.

    Raises:
        BadSettings: A value is invalid, or a file cannot be read.
    """
    make = cast("Callable[..., Settings]", Settings)
    try:
        return make(_env_file=env_file, **flags)
    except ValidationError as error:
        found = error.errors(include_input=False)
        lines = (_problem(part["loc"], _ERROR_TEXTS.get(part["type"], part["msg"])) for part in found)
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
