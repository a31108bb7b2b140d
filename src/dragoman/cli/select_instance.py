"""Choose which of the running gateways a command acts on."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.options import settings_options
from dragoman.config.settings import Settings

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

SELECTION_SETTINGS = ("host", "port", "state_dir", "config")
"""The settings that decide which gateway is chosen."""


def selection_options(command: _Decorated) -> _Decorated:
    """Add the flags that choose a gateway."""
    return settings_options(SELECTION_SETTINGS)(command)


def select_instance(settings: Settings, flags: Mapping[str, object]) -> InstanceRecord | None:
    """Return the only running gateway, or the one at the address in the flags. Return None if there is no such one.

    Raises:
        ClickException: Several gateways run and no flag chooses one.
    """
    running = matching_instances(settings, flags)
    if len(running) > 1:
        addresses = ", ".join(f"{one.address} (pid {one.pid})" for one in running)
        raise click.ClickException(f"Several gateways are running: {addresses}. Choose one with --port.")
    return running[0] if running else None


def matching_instances(settings: Settings, flags: Mapping[str, object]) -> list[InstanceRecord]:
    """Return the running gateways that a command may mean, oldest first."""
    running = InstanceRegistry(settings.state_dir).running()
    if is_address_given(flags):
        return [one for one in running if _matches(one, settings, flags)][:1]
    if len(running) > 1 and settings.model_fields_set & {"host", "port"}:  # set by a variable or a file
        running = [one for one in running if (one.host, one.port) == (settings.host, settings.port)] or running
    return running


def require_instance(settings: Settings, flags: Mapping[str, object]) -> InstanceRecord:
    """Return the same as `select_instance`.

    Raises:
        ClickException: No gateway matches, or several do.
    """
    if record := select_instance(settings, flags):
        return record
    where = f" at {settings.host} port {settings.port}" if is_address_given(flags) else ""
    raise click.ClickException(f"No gateway is running{where}. Start one with `dragoman serve --background`.")


def is_address_given(flags: Mapping[str, object]) -> bool:
    """Return whether the flags contain the address of a gateway."""
    return bool(flags.get("port") or flags.get("host"))


def _matches(record: InstanceRecord, settings: Settings, flags: Mapping[str, object]) -> bool:
    return record.port == settings.port and (not flags.get("host") or record.host == settings.host)
