"""Which of the running gateways a command means."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.options import settings_options
from dragoman.config.settings import Settings

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

WHICH = ("host", "port", "state_dir", "config")

NONE_RUNS = "No gateway runs. `dragoman serve --background` starts one."


def gateway_options(command: _Decorated) -> _Decorated:
    """Give a command the flags that say which gateway is meant."""
    return settings_options(WHICH)(command)


def chosen(settings: Settings, flags: Mapping[str, object]) -> InstanceRecord | None:
    """The running gateway that is meant: the only one, or the one at the address that is named.

    Raises:
        ClickException: There are several, and nothing says which.
    """
    running = InstanceRegistry(settings.state_dir).running()
    if flags.get("port") or flags.get("host"):
        running = [one for one in running if one.port == settings.port and _is_there(one, settings, flags)]
        return running[0] if running else None
    if len(running) > 1 and settings.model_fields_set & {"host", "port"}:  # by a variable or a file
        running = [one for one in running if (one.host, one.port) == (settings.host, settings.port)] or running
    if len(running) > 1:
        told = ", ".join(f"{one.address} (pid {one.pid})" for one in running)
        raise click.ClickException(f"Several gateways run: {told}. Name one with --port.")
    return running[0] if running else None


def required(settings: Settings, flags: Mapping[str, object]) -> InstanceRecord:
    """The same, where there has to be one.

    Raises:
        ClickException: There is none, or there are several.
    """
    if (record := chosen(settings, flags)) is None:
        where = f" at {settings.host} port {settings.port}" if flags.get("port") or flags.get("host") else ""
        raise click.ClickException(NONE_RUNS.replace(" runs", f" runs{where}", 1))
    return record


def _is_there(record: InstanceRecord, settings: Settings, flags: Mapping[str, object]) -> bool:
    return not flags.get("host") or record.host == settings.host
