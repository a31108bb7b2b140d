"""The settings in force, and where each comes from. Of secrets only that they are set."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

import click
from pydantic import ByteSize, SecretStr

from dragoman.cli.options import default_of
from dragoman.config.loading import ENV_FILE, BadSettings, all_setting_info, is_secret, load, setting_info, sources
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.config.sources import Origin, unknown_variables
from dragoman.core.redaction import Redactor

_WORDS = {"flag": "flag", "variable": "variable", "env_file": "variable in", "file": "file", "default": "default"}
_REDACTOR = Redactor()
_WIDEST = 40


@dataclass(frozen=True, slots=True)
class Row:
    """One setting.

    Attributes:
        name: Its name.
        value: What it is, as JSON; of a secret, whether it is set.
        origin: Where that comes from.
        secret: Whether it is a secret.
    """

    name: str
    value: object
    origin: Origin
    secret: bool

    @property
    def shown(self) -> str:
        """The value, for people."""
        if self.secret:
            return "set" if self.value else "not set"
        if self.origin.kind == "default" and (
            not self.value or Settings.model_fields[self.name].annotation is ByteSize
        ):
            return default_of(self.name)
        return _written(self.value)

    @property
    def where(self) -> str:
        """The origin, for people."""
        return f"{_WORDS[self.origin.kind]} {self.origin.named}".rstrip()


@dataclass(frozen=True, slots=True)
class EffectiveConfig:
    """All settings.

    Attributes:
        rows: They; what was given alone, where they cannot be used as they are.
        problem: Why they cannot.
        unknown: Warnings of variables that look like ours and are none.
    """

    rows: tuple[Row, ...]
    problem: str | None
    unknown: tuple[str, ...]


def effective_config(flags: Mapping[str, object]) -> EffectiveConfig:
    """Look at the settings as a command would get them that is given these flags.

    Raises:
        BadSettings: The settings file cannot be read.
    """
    found = _origins(flags)
    values, problem = {name: value for name, (_, value) in found.items()}, None
    try:
        settings = load(flags)
        values = _values(settings)
        resolve_secrets(settings)
    except BadSettings as error:
        problem = str(error)
    default = (Origin("default"), None)
    rows = [
        Row(
            name,
            bool(value) if is_secret(name) else _REDACTOR.data(value),
            found.get(name, default)[0],
            is_secret(name),
        )
        for name, value in values.items()
    ]
    return EffectiveConfig(tuple(rows), problem, tuple(unknown_warnings()))


def _origins(flags: Mapping[str, object]) -> dict[str, tuple[Origin, object]]:
    """Where each setting that was given comes from, and what is written there."""
    found: dict[str, tuple[Origin, object]] = {}
    for source in reversed(sources(flags)):
        found |= {name: (origin, source.values[name]) for name, origin in source.origins.items()}
    if "api_key_file" in found:
        found.setdefault("api_key", found["api_key_file"])
    return found


def unknown_warnings() -> list[str]:
    """What is to be said of variables that look like ours and are none: typing errors, most of them."""
    return [
        f"{variable} is no setting" + (f": did you mean {meant}?" if meant else ".")
        for variable, meant in unknown_variables(all_setting_info(), ENV_FILE)
    ]


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Lines for people, by heading."""
    rows = list(rows)
    if not rows:
        yield "Nothing is set: all defaults. `dragoman config` shows them."
        return
    widths = max(len(row.name) for row in rows), min(_WIDEST, max(len(row.shown) for row in rows))
    for group, members in groupby(rows, lambda row: setting_info(row.name).group):
        yield click.style(group, bold=True)
        for row in members:
            line = f"  {row.name:{widths[0]}}  {row.shown:{widths[1]}}"
            yield f"{line}  {click.style(row.where, dim=row.origin.kind == 'default')}"


def _values(settings: Settings) -> dict[str, object]:
    shown = settings.model_dump(mode="json", exclude={"keys", "upstreams"})
    shown["keys"] = [key.model_dump(mode="json", exclude_defaults=True) for key in settings.keys]
    shown["upstreams"] = [upstream.model_dump(mode="json", exclude_defaults=True) for upstream in settings.upstreams]
    held = {name: getattr(settings, name) for name in Settings.model_fields}
    return {name: value if isinstance(value, SecretStr) else shown[name] for name, value in held.items()}


def _written(value: object) -> str:
    """A value as one would write it."""
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ",".join(map(str, value))
        case dict():
            return ",".join(f"{key}={item}" for key, item in value.items())
        case float():
            return f"{value:g}"
        case _:
            return str(value)
