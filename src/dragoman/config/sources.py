"""Where settings come from, and how each place names what it gives."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from dragoman.config.values import SettingInfo

Kind = Literal["flag", "variable", "env_file", "file", "default"]

_PREFIX = "DRAGOMAN_"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a setting comes from.

    Attributes:
        kind: The kind of place.
        named: How it is given there: the flag, the variable, the file.
    """

    kind: Kind
    named: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Settings that stand together in one place.

    Attributes:
        values: What they are, as they are written there.
        origins: How each is named there.
    """

    values: Mapping[str, object]
    origins: Mapping[str, Origin]


class Layer(PydanticBaseSettingsSource):
    """The same, as pydantic takes it."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, object]) -> None:
        super().__init__(settings_cls)
        self._values = dict(values)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:  # noqa: ARG002 - the base's
        """The value of one setting, its name, and that it is to be read as it is."""
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, object]:
        """All values."""
        return self._values


def info_of(field: FieldInfo) -> SettingInfo:
    """How a setting can be given."""
    return next(item for item in field.metadata if isinstance(item, SettingInfo))


def all_sources(
    known: Mapping[str, SettingInfo], flags: Mapping[str, object], env_file: Path | str | None
) -> tuple[Source, ...]:
    """Every place that settings come from, the strongest first.

    Args:
        known: How each setting can be given.
        flags: What the command line says, by setting.
        env_file: The `.env` file, read if it is there.

    Raises:
        ValueError: The settings file cannot be read.
    """
    found = _from_flags(known, flags), _from_environment(known), _from_env_file(known, env_file)
    named = next((source.values["config"] for source in found if "config" in source.values), None)
    return (*found, _from_toml(known, str(named) if named else None))


def _from_flags(known: Mapping[str, SettingInfo], flags: Mapping[str, object]) -> Source:
    """What the command line says."""
    named = {name: known[name].flag_of(name) or name for name in flags if name in known}
    origins = {name: f"--no-{flag[2:]}" if flags[name] is False else flag for name, flag in named.items()}
    return Source(flags, {name: Origin("flag", flag) for name, flag in origins.items()})


def _from_environment(known: Mapping[str, SettingInfo]) -> Source:
    """What the environment of this process says."""
    return _from_variables(known, os.environ, "variable", "")


def _from_env_file(known: Mapping[str, SettingInfo], path: Path | str | None) -> Source:
    """What a `.env` file says, if it is there."""
    return _from_variables(known, dotenv_values(path) if path else {}, "env_file", f"{path}: ")


def _from_toml(known: Mapping[str, SettingInfo], named: str | None) -> Source:
    """What a TOML file says, by the settings' own names.

    Args:
        known: The settings.
        named: The file; none for the platform's usual one, which need not be there.

    Raises:
        ValueError: It cannot be read; the text says which and why.
    """
    path = Path(named).expanduser() if named else default_config_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8")) if named or path.exists() else {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    values = _flat(values)
    return Source(values, {name: Origin("file", str(path)) for name in values if name in known})


def default_config_file() -> Path:
    """The TOML file that is read where none is named."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only where it is asked for

    return user_config_path("dragoman") / "dragoman.toml"


def secret_variable(name: str, env_file: Path | str | None = ".env") -> str | None:
    """What a variable that the settings name holds: in the environment, or else in the `.env` file."""
    return os.environ.get(name) or (dotenv_values(env_file).get(name) if env_file else None)


def unknown_variables(
    known: Mapping[str, SettingInfo], env_file: Path | str | None
) -> Iterator[tuple[str, str | None]]:
    """Variables that look like ours and are none, each with the name that was perhaps meant."""
    names = {variable for name, given in known.items() for variable in given.variables_of(name)}
    given = {*os.environ, *(dotenv_values(env_file) if env_file else ())}
    for variable in sorted(variable for variable in given if variable.startswith(_PREFIX)):
        if variable not in names:
            yield variable, closest_match(variable, names)


def closest_match(word: str, words: Iterable[str]) -> str | None:
    """The word that was perhaps meant by a mistyped one."""
    return next(iter(difflib.get_close_matches(word, sorted(words), n=1, cutoff=0.75)), None)


def _from_variables(
    known: Mapping[str, SettingInfo], environment: Mapping[str, str | None], kind: Kind, where: str
) -> Source:
    """An empty variable counts as not set, as compose files write it."""
    values: dict[str, object] = {}
    origins = {}
    for name, given in known.items():
        if variable := next(filter(environment.get, given.variables_of(name)), None):
            values[name] = environment[variable]
            origins[name] = Origin(kind, f"{where}{variable}")
    return Source(values, origins)


def _flat(values: dict[str, object]) -> dict[str, object]:
    """The models may have a table of their own, and names may be written with hyphens."""
    table = values.pop("models", None)
    if isinstance(table, dict):
        places = {"aliases": "model_aliases", "default": "default_model", "list": "models"}
        values |= {places.get(key, f"models.{key}"): value for key, value in table.items()}
    elif table is not None:
        values["models"] = table
    return {key.replace("-", "_"): value for key, value in values.items()}
