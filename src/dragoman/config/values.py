"""How values of settings are written, and how each setting can be given."""

import json
import re
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator

from dragoman.core.value_object import value_object

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
"""The name of an upstream or of a client's key."""

_OUTER_COMMA = re.compile(r",(?![^(]*\))")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION_PART = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)([smhd])", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_DAYS = {"today": 0, "yesterday": 1}
_SWITCHES = {"on": "on", "true": "on", "1": "on", "off": "off", "false": "off", "0": "off"}


@value_object
class SettingInfo:
    """How a setting can be given, in addition to its name in the TOML file.

    Attributes:
        group: Its heading in the docs.
        flag: Whether it has a flag on the command line. Other programs' secrets and files have none.
        short: Its one-letter flag.
        variable: Its environment variable, if that is not `DRAGOMAN_` and its name.
        fallback: A variable that is used if the other is not set.
        shown: The default in the docs, if the value depends on the machine.
        aliases: Additional flags, as in other gateways.
    """

    group: str
    flag: bool = True
    short: str = ""
    variable: str = ""
    fallback: str = ""
    shown: str = ""
    aliases: tuple[str, ...] = ()

    def flag_of(self, name: str) -> str | None:
        """Return the long flag of the setting."""
        return f"--{name.replace('_', '-')}" if self.flag else None

    def variables_of(self, name: str) -> tuple[str, ...]:
        """Return the variables of the setting, the stronger one first."""
        return tuple(part for part in (self.variable or f"DRAGOMAN_{name.upper()}", self.fallback) if part)


def names(value: object) -> object:
    """Split `a,b`, as lists are written in variables."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def many_names(value: object) -> object:
    """Split `a,b`, also in each value of a repeated flag."""
    if not isinstance(value, list | tuple):
        return names(value)
    return tuple(part.strip() for item in value for part in str(item).split(",") if part.strip())


def many_rules(value: object) -> object:
    """Split rules of tools at commas, but not at commas inside brackets."""
    if not isinstance(value, str | list | tuple):
        return value
    items = [value] if isinstance(value, str) else value
    return tuple(part.strip() for item in items for part in _OUTER_COMMA.split(str(item)) if part.strip())


def switch_or_names(value: object) -> object:
    """Read `on`, `off` (or `true`, `false`), or a list, as a tuple."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, (str, bool)):
        return value
    switch = _SWITCHES.get(str(value).strip().lower())
    listed = (switch,) if switch else names(value)
    if isinstance(listed, tuple) and len(listed) > 1 and not _SWITCHES.keys().isdisjoint(listed):
        raise ValueError("write `on`, `off`, or a list of hosts")
    return listed


def duration(value: object) -> object:
    """Read a number of seconds, a time such as `90s`, `15m`, `1h30m` or `7d`, or `off`, as seconds.

    Raises:
        ValueError: It has another form.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if _SWITCHES.get(text) == "off":
        return 0.0
    if _DURATION.fullmatch(text):
        return sum(float(count) * _UNITS[unit] for count, unit in _DURATION_PART.findall(text))
    try:
        return float(text)
    except ValueError:
        raise ValueError("write a number of seconds, or a time such as `90s`, `10m`, `1h` or `30d`") from None


def format_duration(seconds: float) -> str:
    """Return a duration as `duration` reads it, in the largest unit that gives a whole number."""
    unit = next((unit for unit, size in reversed(_UNITS.items()) if seconds and seconds % size == 0), "s")
    return f"{format_number(seconds / _UNITS[unit])}{unit}" if seconds else "0"


def format_number(value: float) -> str:
    """Return a number as it is written by hand: without an exponent and without `.0`."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def point_in_time(text: str) -> float:
    """Return seconds since 1970, from an age such as `15m`, a time such as `2026-01-31T12:00`, a day, or seconds.

    Days begin at midnight of this machine: `2026-01-31`, `today` and `yesterday`.

    Raises:
        ValueError: It has another form.
    """
    if (days := _DAYS.get(text)) is not None:
        return datetime.combine(date.today() - timedelta(days), datetime.min.time()).timestamp()  # noqa: DTZ011 - local
    if _DURATION.fullmatch(text):
        return time.time() - float(str(duration(text)))
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"`{text[:40]}` is not a time: write `15m`, `2h`, `7d`, `yesterday`, `2026-01-31T12:00` or seconds since "
            "1970."
        ) from None


def pairs(value: object) -> object:
    """Read `name=model,other=model` or a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    found = [part.split("=", 1) for part in value.split(",") if part.strip()]
    if any(len(pair) != len(("name", "model")) for pair in found):
        raise ValueError("write it as name=model,other=model")
    return {name.strip(): model.strip() for name, model in found}


def tables(value: object, setting: str) -> object:
    """Read a list of tables, tables by name, or either of them as JSON, as a list."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"it is not JSON: {error}") from None
    if isinstance(value, dict):
        value = [{"name": name, **_table(name, table, setting)} for name, table in value.items()]
    return value


def _table(name: str, table: object, setting: str) -> dict[str, object]:
    if not isinstance(table, dict):
        raise ValueError(f"{name}: write it as a table, [{setting}.{name}]")  # noqa: TRY004 - pydantic wants this one
    return table


def check_time_zone(name: str) -> str:
    """Return the name of a time zone if it is one.

    Raises:
        ValueError: It is not.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"`{name[:40]}` is not a time zone: write a name such as UTC or Europe/Berlin") from None
    return name


def backend_name(value: object) -> object:
    """Return the name of a backend for an alias."""
    if value in {"bedrock", "vertex"}:
        raise ValueError(f"{value} is a cloud: write `--backend api --cloud {value}`")
    return "runtime" if value == "sdk" else value


BackendName: TypeAlias = Annotated[Literal["runtime", "api"], BeforeValidator(backend_name)]
"""The backends of an upstream."""

AnyBackendName: TypeAlias = Annotated[Literal["runtime", "api", "cli"], BeforeValidator(backend_name)]
"""The backends of a gateway without upstreams."""


def state_dir() -> Path:
    """Return the platform's directory for the gateway's files."""
    from platformdirs import user_state_path  # noqa: PLC0415 - only where no directory is given

    return user_state_path("dragoman")


def read_key_file(path: Path, setting: str = "api_key_file (--api-key-file)") -> str:
    """Return the key that a file holds.

    Args:
        path: The file.
        setting: The setting that names it, for the error.

    Raises:
        ValueError: There is no key. The text has the reason.
    """
    try:
        key = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{setting}: {path} cannot be read: {reason}") from error
    if not key:
        raise ValueError(f"{setting}: {path} is empty")
    return key
