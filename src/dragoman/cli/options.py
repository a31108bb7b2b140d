"""Command-line options, made from the settings."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args, get_origin

import click
from pydantic import ByteSize
from pydantic.fields import FieldInfo

from dragoman.settings import BadSettings, Settings, flag, given, load, variables

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_METAVARS = {int: "N", float: "SECONDS", ByteSize: "BYTES"}


def settings_options(names: Iterable[str] = ()) -> Callable[[_Decorated], _Decorated]:
    """Give a command the flags of these settings, or of all."""
    wanted = list(names) or list(Settings.model_fields)

    def decorate(command: _Decorated) -> _Decorated:
        for name in reversed(wanted):
            if flag(name):
                command = _option(name, Settings.model_fields[name])(command)
        return command

    return decorate


def settings_from(flags: dict[str, object]) -> Settings:
    """The settings, with what the command line says on top.

    Raises:
        ClickException: Something is wrong; the text names the setting.
    """
    try:
        return load({name: value for name, value in flags.items() if value not in (None, ())})
    except BadSettings as error:
        raise click.ClickException(str(error)) from None


def default_of(name: str) -> str:
    """A setting's default, as people are told of it."""
    field = Settings.model_fields[name]
    if shown := given(name).shown:
        return shown
    value = field.get_default(call_default_factory=True)
    match value:
        case bool():
            return "on" if value else "off"
        case float():
            return f"{value:g}"
        case None | () | {}:
            return "none"
        case _:
            return str(value)


def _option(name: str, field: FieldInfo) -> Callable[[_Decorated], _Decorated]:
    names = [part for part in (given(name).short, flag(name)) if part]
    told = f"{field.description} [{', '.join(variables(name))}; default: {default_of(name)}]"
    kind = field.annotation
    if kind is bool:
        return click.option(f"{names[-1]}/--no-{names[-1][2:]}", name, default=None, help=told)
    repeated = get_origin(kind) is tuple
    return click.option(*names, name, multiple=repeated, default=None, metavar=_metavar(kind), help=told)


def _metavar(kind: object) -> str:
    kinds = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    if all(isinstance(part, str) for part in kinds):
        return f"[{'|'.join(map(str, kinds))}]"
    return next((_METAVARS[part] for part in kinds if part in _METAVARS), "TEXT")
