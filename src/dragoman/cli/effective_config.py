"""The effective settings and the source of each. Of a secret, only whether it is set."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import click
from pydantic import ByteSize, SecretStr

from dragoman.cli.options import format_default
from dragoman.config.loading import (
    ENV_FILE,
    BadSettings,
    all_setting_info,
    is_duration,
    is_secret,
    load,
    setting_info,
    sources,
)
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.config.sources import Origin, unknown_variables
from dragoman.config.values import format_duration, format_number
from dragoman.core.redaction import Redactor
from dragoman.core.value_object import value_object

_SOURCE_LABELS = {
    "flag": "flag",
    "variable": "variable",
    "env_file": "variable in",
    "file": "file",
    "default": "default",
}
_REDACTOR = Redactor()
_MAX_VALUE_WIDTH = 40


@value_object
class Row:
    """One setting.

    Attributes:
        name: Its name.
        value: Its value as JSON. For a secret, whether it is set.
        origin: The source of the value.
        secret: Whether it is a secret.
    """

    name: str
    value: object
    origin: Origin
    secret: bool

    @property
    def text(self) -> str:
        """The value as text."""
        if self.secret:
            return "set" if self.value else "not set"
        is_default = self.origin.kind == "default"
        if is_default and (not self.value or Settings.model_fields[self.name].annotation is ByteSize):
            return format_default(self.name)
        if is_duration(self.name) and isinstance(self.value, float):
            return format_duration(self.value)
        return _format_value(self.value)

    @property
    def source(self) -> str:
        """The source as text."""
        return f"{_SOURCE_LABELS[self.origin.kind]} {self.origin.named}".rstrip()


@value_object
class EffectiveConfig:
    """All settings.

    Attributes:
        rows: One row for each setting. If the settings are invalid, only those that were given.
        problem: Why the settings are invalid, or None.
        unknown: Warnings about variables that look like settings but are not.
    """

    rows: tuple[Row, ...]
    problem: str | None
    unknown: tuple[str, ...]


def effective_config(flags: Mapping[str, object]) -> EffectiveConfig:
    """Return the settings of a command that gets these flags.

    Raises:
        BadSettings: The settings file cannot be read.
    """
    given = _given_values(flags)
    values, problem = {name: value for name, (_, value) in given.items()}, None
    try:
        settings = load(flags)
        values = _json_values(settings)
        resolve_secrets(settings)
    except BadSettings as error:
        problem = str(error)
    rows = []
    for name, value in values.items():
        origin = given[name][0] if name in given else Origin("default")
        secret = is_secret(name)
        rows.append(Row(name, bool(value) if secret else _REDACTOR.data(value), origin, secret))
    return EffectiveConfig(tuple(rows), problem, tuple(unknown_variable_warnings()))


def unknown_variable_warnings() -> list[str]:
    """Return a warning for each variable that looks like a setting but is not, usually a typing error."""
    return [
        f"{variable} is not a setting" + (f"; did you mean {suggestion}?" if suggestion else ".")
        for variable, suggestion in unknown_variables(all_setting_info(), ENV_FILE)
    ]


def format_rows(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a table of settings, grouped under headings."""
    rows = list(rows)
    if not rows:
        return
    name_width = max(len(row.name) for row in rows)
    value_width = min(_MAX_VALUE_WIDTH, max(len(row.text) for row in rows))
    for group, members in groupby(rows, lambda row: setting_info(row.name).group):
        yield click.style(group, bold=True)
        for row in members:
            line = f"  {row.name:{name_width}}  {row.text:{value_width}}"
            yield f"{line}  {click.style(row.source, dim=row.origin.kind == 'default')}"


def _given_values(flags: Mapping[str, object]) -> dict[str, tuple[Origin, object]]:
    """Return each setting that was given, with the source that wins and its raw value."""
    given: dict[str, tuple[Origin, object]] = {}
    for source in reversed(sources(flags)):
        given |= {name: (origin, source.values[name]) for name, origin in source.origins.items()}
    if "api_key_file" in given:
        given.setdefault("api_key", given["api_key_file"])
    return given


def _json_values(settings: Settings) -> dict[str, object]:
    """Return all settings as JSON. Secrets stay `SecretStr`."""
    dumped = settings.model_dump(mode="json", exclude={"keys", "upstreams"})
    dumped["keys"] = [key.model_dump(mode="json", exclude_defaults=True) for key in settings.keys]
    dumped["upstreams"] = [upstream.model_dump(mode="json", exclude_defaults=True) for upstream in settings.upstreams]
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return {name: value if isinstance(value, SecretStr) else dumped[name] for name, value in values.items()}


def _format_value(value: object) -> str:
    """Return a value as it is written on the command line."""
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ",".join(map(str, value))
        case dict():
            return ",".join(f"{key}={item}" for key, item in value.items())
        case float():
            return format_number(value)
        case _:
            return str(value)
