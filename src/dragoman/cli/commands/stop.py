"""`dragoman stop`."""

import signal

import click

from dragoman.cli.gateway_http import answers
from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.options import settings_from
from dragoman.cli.select_instance import gateway_options, required
from dragoman.cli.terminal import wait_for
from dragoman.config.settings import Settings

_MARGIN = 30.0
_HEARD = 5.0


@click.command("stop")
@gateway_options
@click.option("--now", is_flag=True, help="Give running answers no time: they end with an error at once.")
@click.option("--all", "every", is_flag=True, help="Stop all that run with this state directory.")
def command(*, now: bool, every: bool, **flags: object) -> None:
    """Stop a running gateway, and return once it is gone.

    It takes nothing new, running answers may end within --shutdown-grace, the rest end with an error.
    """
    settings = settings_from(flags)
    for record in _meant(settings, flags, every=every):
        stop(record, InstanceRegistry(settings.state_dir), now=now)
        click.echo(f"Stopped the gateway at {record.address} (pid {record.pid}).")


def stop(record: InstanceRecord, registry: InstanceRegistry, *, now: bool) -> None:
    """Stop a gateway.

    Raises:
        ClickException: It does not stop, or cannot be told to.
    """
    send(record, signal.SIGTERM)
    if now:
        wait_for(lambda: None if answers(record) else True, "Waiting for it to hear", _HEARD)
        if record in registry.running():
            send(record, signal.SIGTERM)
    words = f"Stopping: running answers have {record.grace:g} s to end"
    gone = wait_for(lambda: None if record in registry.running() else True, words, record.grace + _MARGIN)
    if not gone:
        raise click.ClickException(
            f"The gateway at {record.address} (pid {record.pid}) is still stopping. `dragoman stop --now` gives its "
            f"answers no more time; `kill -9 {record.pid}` ends it in any case."
        )


def send(record: InstanceRecord, number: signal.Signals) -> None:
    """Send its process a signal, and no other process.

    Raises:
        ClickException: It is not a process that this user can reach.
    """
    process = record.process()
    try:
        if process is not None:
            process.send_signal(number)
    except PermissionError:
        process = None
    if process is None:
        raise click.ClickException(
            f"The gateway at {record.address} cannot be reached from here as process {record.pid}: it is another "
            "user's, or runs in a container. Stop it there."
        )


def _meant(settings: Settings, flags: dict[str, object], *, every: bool) -> list[InstanceRecord]:
    if every and (running := InstanceRegistry(settings.state_dir).running()):
        return running
    return [required(settings, flags)]
