"""Command-line options, generated from the settings."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import click
from pydantic import ByteSize
from pydantic.fields import FieldInfo

from dragoman.config.loading import BadSettings, flag, is_duration, load, setting_info, variables
from dragoman.config.settings import Settings
from dragoman.config.values import format_duration, format_number

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_RUN_TIMEOUT_MS_HELP = "Maximum duration of a run in milliseconds. Older form of --run-timeout."
_METAVARS = {int: "N", float: "N", ByteSize: "BYTES"}
_UNITS = {"agent_max_budget_usd": "DOLLARS"}
_CHOICE_HELP = {
    "host": "Address of the gateway. [DRAGOMAN_HOST; default: that of the running gateway]",
    "api_key": "The gateway's key, to send it. [DRAGOMAN_API_KEY; default: none]",
    "admin_key": "The gateway's admin key, to send it. [DRAGOMAN_ADMIN_KEY; default: none]",
    "port": "Port of the gateway. [DRAGOMAN_PORT, PORT; default: that of the running gateway]",
}
"""Help of settings in commands that choose a running gateway."""


def settings_options(names: Iterable[str] = ()) -> Callable[[_Decorated], _Decorated]:
    """Return a decorator that adds the flags of these settings to a command. Without names: of all settings."""
    selected = list(names) or list(Settings.model_fields)

    def decorate(command: _Decorated) -> _Decorated:
        for name in reversed(selected):
            if flag(name):
                command = _option(name, Settings.model_fields[name], _CHOICE_HELP.get(name) if names else None)(command)
        return command

    return decorate


def serve_options(command: _Decorated) -> _Decorated:
    """Add the flags of all settings, and the flags that set a setting under another name."""
    for option in (
        click.option("--trace", "shorthand", flag_value="trace", help="Same as --log-level trace."),
        click.option("--debug", "shorthand", flag_value="debug", help="Same as --log-level debug."),
        click.option("--process-timeout-ms", type=click.FloatRange(min=1), metavar="MS", help=_RUN_TIMEOUT_MS_HELP),
    ):
        command = option(command)
    return settings_options()(command)


def flags_by_setting(flags: Mapping[str, object]) -> dict[str, object]:
    """Return the flags of `serve_options` with each value under the name of its setting."""
    renamed = dict(flags)
    timeout_ms, shorthand = renamed.pop("process_timeout_ms"), renamed.pop("shorthand")
    if isinstance(timeout_ms, float) and renamed["run_timeout"] is None:
        renamed["run_timeout"] = timeout_ms / 1000
    renamed["log_level"] = renamed["log_level"] or shorthand
    return renamed


def given_flags(flags: Mapping[str, object]) -> dict[str, object]:
    """Return only the flags that the user gave."""
    return {name: value for name, value in flags.items() if value not in (None, ())}


def settings_from(flags: Mapping[str, object]) -> Settings:
    """Load the settings. Flags override every other source.

    Raises:
        ClickException: A value is invalid. The text names the setting.
    """
    try:
        return load(given_flags(flags))
    except BadSettings as error:
        raise click.ClickException(f"{error}\nRun `dragoman config` to see all settings and their sources.") from None


def format_default(name: str) -> str:
    """Return a setting's default as help and docs show it."""
    field = Settings.model_fields[name]
    if shown := setting_info(name).shown:
        return shown
    value = field.get_default(call_default_factory=True)
    match value:
        case bool():
            return "on" if value else "off"
        case float() if is_duration(name):
            return format_duration(value)
        case float():
            return format_number(value)
        case None | () | {}:
            return "none"
        case _:
            return str(value)


def _option(name: str, field: FieldInfo, text: str | None = None) -> Callable[[_Decorated], _Decorated]:
    names = [part for part in (setting_info(name).short, flag(name)) if part]
    help_text = text or f"{field.description} [{', '.join(variables(name))}; default: {format_default(name)}]"
    annotation = field.annotation
    if annotation is bool:
        return click.option(f"{names[-1]}/--no-{names[-1][2:]}", name, default=None, help=help_text)
    types = [part for part in get_args(annotation) or (annotation,) if part is not type(None)]
    return click.option(
        *names,
        *setting_info(name).aliases,
        name,
        multiple=get_origin(annotation) is tuple,
        default=None,
        metavar=_metavar(name, types),
        type=click.Path() if types == [Path] else str,
        shell_complete=_complete_choice([part for part in types if isinstance(part, str)]),
        help=help_text,
    )


def _complete_choice(choices: list[str]) -> Callable[[click.Context, click.Parameter, str], list[str]] | None:
    """Return a shell completion for a setting that takes one of a few words. Return None for any other setting."""
    if not choices:
        return None
    return lambda _context, _parameter, incomplete: [word for word in choices if word.startswith(incomplete)]


def _metavar(name: str, types: list[object]) -> str:
    if is_duration(name):
        return "DURATION"
    if all(isinstance(part, str) for part in types):
        return f"[{'|'.join(map(str, types))}]"
    return _UNITS.get(name) or next((_METAVARS[part] for part in types if part in _METAVARS), "TEXT")
