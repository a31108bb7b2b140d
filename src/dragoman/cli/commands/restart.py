"""`dragoman restart`."""

from pathlib import Path

import click

from dragoman.cli.commands.stop import send
from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.options import settings_from
from dragoman.cli.select_instance import gateway_options, required
from dragoman.cli.serving.background import await_answer, last_words
from dragoman.cli.terminal import wait_for
from dragoman.server.uvicorn_server import RESTART

_MARGIN = 60.0


@click.command("restart")
@gateway_options
def command(**flags: object) -> None:
    """Start a running gateway again, as it was started, and return once it answers.

    Its flags, its environment, its directory and its port stay; `.env`, settings files and the code are read anew.
    """
    settings = settings_from(flags)
    registry = InstanceRegistry(settings.state_dir)
    before = required(settings, flags)
    send(before, RESTART)
    after = wait_for(lambda: _look(registry, before), "Restarting: running answers may end", before.grace + _MARGIN)
    if not isinstance(after, InstanceRecord):
        raise click.ClickException(_not_back(before))
    click.echo(f"Restarted the gateway at {after.address} (pid {after.pid}).")


def _look(registry: InstanceRegistry, before: InstanceRecord) -> InstanceRecord | bool | None:
    """Its new record, once it answers; False when its process has ended."""
    if before.process() is None:
        return False
    return await_answer(registry, before.pid, unlike=before)


def _not_back(before: InstanceRecord) -> str:
    words = f"The gateway at {before.address} did not come back."
    if before.output and Path(before.output).exists():
        return f"{words} It said:\n{last_words(before.output)}"
    return f"{words} Look at where it was started."
