"""The sources of settings: flags, environment variables, a `.env` file and a TOML file."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from dragoman.config.values import SettingInfo
from dragoman.core.value_object import value_object

Kind = Literal["flag", "variable", "env_file", "file", "default"]

_PREFIX = "DRAGOMAN_"


@value_object
class Origin:
    """The source of a setting's value.

    Attributes:
        kind: The kind of source.
        named: The flag, the variable or the file.
    """

    kind: Kind
    named: str = ""


@value_object
class Source:
    """The settings of one source.

    Attributes:
        values: The values as they are written.
        origins: The origin of each value.
        file: The file that they are written in, if they are in one.
    """

    values: Mapping[str, object]
    origins: Mapping[str, Origin]
    file: str = ""


class Layer(PydanticBaseSettingsSource):
    """A `Source` for pydantic."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, object]) -> None:
        super().__init__(settings_cls)
        self._values = dict(values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:  # noqa: ARG002 - the base's
        """Return the value of one setting, its name, and that it is not JSON."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        """Return all values."""
        return self._values


def info_of(field: FieldInfo) -> SettingInfo:
    """Return how a setting can be given."""
    return next(item for item in field.metadata if isinstance(item, SettingInfo))


def all_sources(
    known: Mapping[str, SettingInfo], flags: Mapping[str, object], env_file: Path | str | None
) -> tuple[Source, ...]:
    """Return all sources, the strongest first.

    Args:
        known: How each setting can be given.
        flags: The values of flags, by setting.
        env_file: The `.env` file. It may be missing.

    Raises:
        ValueError: The settings file cannot be read.
    """
    found = (
        _from_flags(known, flags),
        _from_variables(known, os.environ, "variable", ""),
        _from_variables(known, dotenv_values(env_file) if env_file else {}, "env_file", str(env_file or "")),
    )
    named = next((source.values["config"] for source in found if "config" in source.values), None)
    return (*found, _from_toml(known, str(named) if named else None))


def _from_flags(known: Mapping[str, SettingInfo], flags: Mapping[str, object]) -> Source:
    named = {name: known[name].flag_of(name) or name for name in flags if name in known}
    origins = {name: f"--no-{flag[2:]}" if flags[name] is False else flag for name, flag in named.items()}
    return Source(flags, {name: Origin("flag", flag) for name, flag in origins.items()})


def _from_toml(known: Mapping[str, SettingInfo], named: str | None) -> Source:
    """Read a TOML file.

    Args:
        known: The settings.
        named: The file. None: the platform's default file, which may be missing.

    Raises:
        ValueError: It cannot be read. The text has the file and the reason.
    """
    path = Path(named).expanduser() if named else default_config_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8")) if named or path.exists() else {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    values = _flat(values)
    return Source(values, {name: Origin("file", str(path)) for name in values if name in known}, str(path))


def default_config_file() -> Path:
    """Return the TOML file that is read if none is named."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only if no file is named

    return user_config_path("dragoman") / "dragoman.toml"


def secret_variable(name: str, env_file: Path | str | None = ".env") -> str | None:
    """Return the value of a variable that the settings name, from the environment or the `.env` file."""
    return os.environ.get(name) or (dotenv_values(env_file).get(name) if env_file else None)


def unknown_variables(
    known: Mapping[str, SettingInfo], env_file: Path | str | None
) -> Iterator[tuple[str, str | None]]:
    """Yield variables that begin with `DRAGOMAN_` and are no setting, each with the most similar name."""
    names = {variable for name, given in known.items() for variable in given.variables_of(name)}
    given = {*os.environ, *(dotenv_values(env_file) if env_file else ())}
    for variable in sorted(variable for variable in given if variable.startswith(_PREFIX)):
        if variable not in names:
            yield variable, closest_match(variable, names)


def closest_match(word: str, words: Iterable[str]) -> str | None:
    """Return the most similar word, if one is similar."""
    return next(iter(difflib.get_close_matches(word, sorted(words), n=1, cutoff=0.75)), None)


def _from_variables(
    known: Mapping[str, SettingInfo], environment: Mapping[str, str | None], kind: Kind, file: str
) -> Source:
    """Read variables. An empty one counts as not set, as compose files write it."""
    values: dict[str, object] = {}
    origins = {}
    for name, given in known.items():
        if variable := next(filter(environment.get, given.variables_of(name)), None):
            values[name] = environment[variable]
            origins[name] = Origin(kind, f"{file}: {variable}" if file else variable)
    return Source(values, origins, file)


def _flat(values: dict[str, object]) -> dict[str, object]:
    """Read the table `[models]`, and names with hyphens."""
    table = values.pop("models", None)
    if isinstance(table, dict):
        places = {"aliases": "model_aliases", "default": "default_model", "list": "models"}
        values |= {places.get(key, f"models.{key}"): value for key, value in table.items()}
    elif table is not None:
        values["models"] = table
    return {key.replace("-", "_"): value for key, value in values.items()}
