"""Loading settings from all sources, and the names of settings in errors and help."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import cast, get_args

from pydantic import BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dragoman.config.settings import Settings
from dragoman.config.sources import Source, all_sources, closest_match, info_of
from dragoman.config.values import SettingInfo, duration, format_number

ENV_FILE = Path(".env")
"""Read from the working directory if it exists."""

_BYTES = "write a number of bytes, or one with its unit, such as 64MiB"
_ERROR_TEXTS = {
    "bool_parsing": "write `true` or `false`",
    "bool_type": "write `true` or `false`",
    "byte_size": _BYTES,
    "byte_size_unit": _BYTES,
    "decimal_parsing": "write a number",
    "decimal_type": "write a number",
    "dict_type": "write a table",
    "extra_forbidden": "there is no such setting",
    "finite_number": "write a finite number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "greater_than": "write a number above {gt}",
    "greater_than_equal": "write {ge} or more",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a smaller number",
    "int_type": "write a whole number",
    "less_than_equal": "write {le} or less",
    "literal_error": "write {expected}",
    "missing": "it is missing",
    "model_type": "write a table",
    "path_type": "write a path",
    "string_pattern_mismatch": "it does not have the form `{pattern}`",
    "string_too_short": "it is empty",
    "string_type": "write a text",
    "tuple_type": "write a list",
}
"""Texts for errors whose text from pydantic is for programmers, by the type of error, with its context in braces."""


class BadSettings(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The settings cannot be used. The text names each setting and the ways to give it. It holds no secret."""


def setting_info(name: str) -> SettingInfo:
    """Return how a setting can be given."""
    return info_of(_field(name))


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
    kind = _field(name).annotation
    return SecretStr in (get_args(kind) or (kind,))


def is_duration(name: str) -> bool:
    """Return whether a setting is a number of seconds."""
    return any(isinstance(part, BeforeValidator) and part.func is duration for part in _field(name).metadata)


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
        found, given = error.errors(include_input=False), sources(flags, env_file)
        raise BadSettings("\n".join(_problem(part["loc"], _words(part), given) for part in found)) from None
    except ValueError as error:
        raise _bad_file(error) from None


def _field(name: str) -> FieldInfo:
    return Settings.model_fields[name]


def _words(error: ErrorDetails) -> str:
    text = _ERROR_TEXTS.get(error["type"])
    if text is None:
        return error["msg"].removeprefix("Value error, ")
    context = error.get("ctx", {})
    plain = {name: format_number(value) if isinstance(value, float) else value for name, value in context.items()}
    return text.format_map(plain).replace("'", "`")


def _problem(where: tuple[int | str, ...], message: str, given: Iterable[Source]) -> str:
    """Return what is wrong with a value. A value in a file is named with the file."""
    if not where:
        return message
    name = str(where[0])
    source = next((source for source in given if name in source.values), None)
    place = f" in {source.file}" if source and source.file else ""
    if name not in Settings.model_fields:
        meant = closest_match(name, Settings.model_fields)
        return f"{name}{place}: there is no such setting" + (f"; did you mean {meant}?" if meant else "")
    inside = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where[1:])
    return f"{describe_setting(name, inside)}{place}: {message}"


def _bad_file(error: ValueError) -> BadSettings:
    return BadSettings(f"config (--config, DRAGOMAN_CONFIG): {error}")
