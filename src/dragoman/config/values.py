"""Values of settings, as people write them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
"""What people may call an upstream, or a client's key."""

_OUTER_COMMA = re.compile(r",(?![^(]*\))")

_SWITCHES = {"on": "on", "true": "on", "1": "on", "off": "off", "false": "off", "0": "off"}


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """How a setting can be given, beside its own name.

    Attributes:
        group: The heading it stands under in the docs.
        flag: Whether it has a flag on the command line; secrets of others and files have none.
        short: Its one-letter flag.
        variable: Its variable, where that is not `DRAGOMAN_` and its name.
        fallback: A variable that stands in for it.
        shown: What the docs show as default, where the value depends on the machine.
        aliases: Further flags, by which other gateways know it.
    """

    group: str
    flag: bool = True
    short: str = ""
    variable: str = ""
    fallback: str = ""
    shown: str = ""
    aliases: tuple[str, ...] = ()

    def flag_of(self, name: str) -> str | None:
        """The long flag of the setting that is given so."""
        return f"--{name.replace('_', '-')}" if self.flag else None

    def variables_of(self, name: str) -> tuple[str, ...]:
        """Its variables, the stronger one first."""
        return tuple(part for part in (self.variable or f"DRAGOMAN_{name.upper()}", self.fallback) if part)


def names(value: object) -> object:
    """`a,b` as people write lists in variables."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def many_names(value: object) -> object:
    """The same, also where a flag that can be repeated was given such a list."""
    if not isinstance(value, list | tuple):
        return names(value)
    return tuple(part.strip() for item in value for part in str(item).split(",") if part.strip())


def many_rules(value: object) -> object:
    """The same for rules of tools, whose commas inside of brackets are their own."""
    if not isinstance(value, str | list | tuple):
        return value
    items = [value] if isinstance(value, str) else value
    return tuple(part.strip() for item in items for part in _OUTER_COMMA.split(str(item)) if part.strip())


def switch_or_names(value: object) -> object:
    """`on`, `off` (or `true`, `false`), or a list; as a tuple in any case."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    if not isinstance(value, (str, bool)):
        return value
    switch = _SWITCHES.get(str(value).strip().lower())
    listed = (switch,) if switch else names(value)
    if isinstance(listed, tuple) and len(listed) > 1 and not _SWITCHES.keys().isdisjoint(listed):
        raise ValueError("write `on`, `off`, or a list of hosts")
    return listed


def pairs(value: object) -> object:
    """`name=model,other=model` or a JSON object."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return json.loads(value)
    found = [part.split("=", 1) for part in value.split(",") if part.strip()]
    if any(len(pair) != len(("name", "model")) for pair in found):
        raise ValueError("write it as name=model,other=model")
    return {name.strip(): model.strip() for name, model in found}


def tables(value: object, setting: str) -> object:
    """A list of tables, tables by name, or either of them as JSON; as the list."""
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


def backend_name(value: object) -> object:
    """The backend's own name, for an alias of it."""
    if value in {"bedrock", "vertex"}:
        raise ValueError(f"{value} is a cloud: write `--backend api --cloud {value}`")
    return "runtime" if value == "sdk" else value


BackendName: TypeAlias = Annotated[Literal["runtime", "api"], BeforeValidator(backend_name)]
"""A way to ask Claude, of one of several upstreams."""

AnyBackendName: TypeAlias = Annotated[Literal["runtime", "api", "cli"], BeforeValidator(backend_name)]
"""A way to ask Claude, of the whole gateway."""


def state_dir() -> Path:
    """The platform's directory for our own files."""
    from platformdirs import user_state_path  # noqa: PLC0415 - only where no directory is given

    return user_state_path("dragoman")


def read_key_file(path: Path, setting: str = "api_key_file (--api-key-file)") -> str:
    """The key that a file holds.

    Args:
        path: The file.
        setting: What names it, for the error.

    Raises:
        ValueError: There is none, for the reason that the text gives.
    """
    try:
        key = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{setting}: {path} cannot be read: {reason}") from error
    if not key:
        raise ValueError(f"{setting}: {path} is empty")
    return key
