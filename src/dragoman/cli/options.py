"""Command-line options, made from the settings."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import click
from pydantic import ByteSize
from pydantic.fields import FieldInfo

from dragoman.config.loading import BadSettings, flag, load, setting_info, variables
from dragoman.config.settings import Settings

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_PATIENT = "Seconds that a run may take, in milliseconds: an older name of --run-timeout."
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


def serve_options(command: _Decorated) -> _Decorated:
    """Give a command the flags of all settings, and those that stand for settings under other names."""
    for option in (
        click.option("--trace", "shorthand", flag_value="trace", help="The same as --log-level trace."),
        click.option("--debug", "shorthand", flag_value="debug", help="The same as --log-level debug."),
        click.option("--process-timeout-ms", type=click.FloatRange(min=1), metavar="MS", help=_PATIENT),
    ):
        command = option(command)
    return settings_options()(command)


def plain(flags: Mapping[str, object]) -> dict[str, object]:
    """The flags of `serve_options`, each under the name of its setting."""
    named = dict(flags)
    patience, shorthand = named.pop("process_timeout_ms"), named.pop("shorthand")
    if isinstance(patience, float) and named["run_timeout"] is None:
        named["run_timeout"] = patience / 1000
    named["log_level"] = named["log_level"] or shorthand
    return named


def told(flags: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value not in (None, ())}


def settings_from(flags: Mapping[str, object]) -> Settings:
    """The settings, with what the command line says on top.

    Raises:
        ClickException: Something is wrong; the text names the setting.
    """
    try:
        return load(told(flags))
    except BadSettings as error:
        raise click.ClickException(f"{error}\n`dragoman config` shows what is set, and where.") from None


def default_of(name: str) -> str:
    """A setting's default, as people are told of it."""
    field = Settings.model_fields[name]
    if shown := setting_info(name).shown:
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
    names = [part for part in (setting_info(name).short, flag(name)) if part]
    told = f"{field.description} [{', '.join(variables(name))}; default: {default_of(name)}]"
    kind = field.annotation
    if kind is bool:
        return click.option(f"{names[-1]}/--no-{names[-1][2:]}", name, default=None, help=told)
    kinds = [part for part in get_args(kind) or (kind,) if part is not type(None)]
    return click.option(
        *names,
        *setting_info(name).aliases,
        name,
        multiple=get_origin(kind) is tuple,
        default=None,
        metavar=_metavar(kinds),
        type=click.Path() if kinds == [Path] else str,
        shell_complete=_completed([part for part in kinds if isinstance(part, str)]),
        help=told,
    )


def _completed(words: list[str]) -> Callable[[click.Context, click.Parameter, str], list[str]] | None:
    """What a shell offers where a setting takes one of a few words."""
    return (lambda _context, _parameter, begun: [word for word in words if word.startswith(begun)]) if words else None


def _metavar(kinds: list[object]) -> str:
    if all(isinstance(part, str) for part in kinds):
        return f"[{'|'.join(map(str, kinds))}]"
    return next((_METAVARS[part] for part in kinds if part in _METAVARS), "TEXT")
