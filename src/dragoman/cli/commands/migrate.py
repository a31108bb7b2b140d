"""`dragoman migrate`: move the state of one machine to the stores of many nodes."""

import asyncio
from contextlib import AsyncExitStack

import click

from dragoman.cli.instances import InstanceRegistry
from dragoman.cli.options import settings_from, settings_options
from dragoman.config.loading import BadSettings
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.stores.migration import Copied, copy_state
from dragoman.stores.sqlite.stores import SQLiteStores
from dragoman.wiring.stores import build_stores


@click.group("migrate")
def migrate() -> None:
    """Move stored state to another place."""


@migrate.command("sqlite-to-postgres")
@settings_options(["state_dir", "config", "database", "encryption_key_file"])
def sqlite_to_postgres(**flags: object) -> None:
    """Copy the files of a state directory to a PostgreSQL server.

    Keys, teams, the audit log, stored responses, records of runs, the ledger, kept thinking and responses for repeated
    requests are copied. What is there already stays as it is, so the command can be interrupted and repeated. The files
    are not changed. No gateway may run on the state directory.
    """
    settings = settings_from(flags)
    if not settings.database:
        raise click.ClickException("Name the server with --database, or with DRAGOMAN_DATABASE.")
    try:
        settings = resolve_secrets(settings)
        registry = InstanceRegistry(settings.state_dir)
        with registry.startup_lock():  # a gateway that starts now waits
            if running := registry.running():
                raise click.ClickException(
                    f"A gateway runs on this state directory: {running[0].address}. Stop it with `dragoman stop`."
                )
            asyncio.run(_copy(settings))
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    except GatewayError as error:
        raise click.ClickException(f"{error.message} Run the command again to copy the rest.") from None


async def _copy(settings: Settings) -> None:
    directory = settings.state_dir.expanduser()
    async with AsyncExitStack() as stack:
        target = build_stores(settings)
        stack.push_async_callback(target.aclose)
        source = SQLiteStores(directory)
        stack.push_async_callback(source.aclose)
        async for copied in copy_state(source, target, directory):
            click.echo(_line(copied))
    click.echo("Reasoning that clients hold (`encrypted_content`) cannot be read any more: its key stays here.")


def _line(copied: Copied) -> str:
    present = copied.found - copied.added
    there = f", {present:,} already there" if present else ""
    return f"{copied.added:>9,} {copied.name}{there}"
