"""`dragoman status`, `stop` and `restart`: inspect and control a running gateway."""

import json
import signal
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

import click

from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp, find_healthy, is_healthy
from dragoman.cli.instances import InstanceRecord, InstanceRegistry, connect_host, last_output
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.select_instance import matching_instances, require_instance, select_instance, selection_options
from dragoman.cli.status_report import format_instance, format_status
from dragoman.cli.terminal import as_typed, wait_for

_STOP_MARGIN = 30.0
"""Seconds to wait for the end of the process beyond the grace period."""
_RESTART_MARGIN = 60.0
"""Seconds to wait for the new process beyond the grace period."""
_SIGNAL_TIMEOUT = 5.0
"""Seconds to wait until a gateway has noticed the first signal."""


@click.command("status")
@settings_options(GATEWAY_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print the gateway's JSON response.")
def status(*, as_json: bool, **flags: object) -> None:
    """Show the state of a running gateway: account, processes, runs and versions. If several run, list them.

    Exit code 0: each gateway is ready for requests. Exit code 1: one is not ready, or no gateway responds.
    """
    settings = settings_from(flags)
    if len(several := matching_instances(settings, flags)) > 1:
        _show_several(several, as_json=as_json)
    gateway, record = GatewayHttp.select(settings, flags), select_instance(settings, flags)
    response = gateway.get("/admin/status")
    if response.status == HTTPStatus.UNAUTHORIZED:  # readiness is public
        response = gateway.get("/health/ready")
    elif response.status != HTTPStatus.OK:
        raise response.error()
    body = response.body
    click.echo(
        json.dumps(body, indent=2) if as_json else as_typed("\n".join(format_status(gateway.address, body, record)))
    )
    raise SystemExit(0 if body.get("status") == "ready" else 1)


def _show_several(records: list[InstanceRecord], *, as_json: bool) -> NoReturn:
    """List several gateways, and exit."""
    listed: list[dict[str, object]] = []
    for record in records:
        try:
            state = GatewayHttp(connect_host(record.host), record.port, None).get("/health/ready").body["status"]
        except (click.ClickException, KeyError):
            state = "not responding"
        listed.append({"address": record.address, "status": state, "pid": record.pid, "since": record.since})
        listed[-1] |= {"background": record.background, "directory": record.directory, "log": record.log}
    if as_json:
        click.echo(json.dumps({"gateways": listed}, indent=2))
    else:
        lines = [format_instance(record, str(one["status"])) for record, one in zip(records, listed, strict=True)]
        hint = f"`dragoman status --port {records[0].port}` shows more about one of them."
        click.echo(as_typed("\n".join([*lines, "", hint])))
    raise SystemExit(0 if all(one["status"] == "ready" for one in listed) else 1)


@click.command("stop")
@selection_options
@click.option("--now", is_flag=True, help="End running requests with an error at once.")
@click.option("--all", "stop_all", is_flag=True, help="Stop all gateways of this state directory.")
def stop(*, now: bool, stop_all: bool, **flags: object) -> None:
    """Stop a running gateway, and wait until it has ended.

    The gateway takes no new connections. Running requests get --shutdown-grace seconds to finish; then they end with an
    error.
    """
    settings = settings_from(flags)
    registry = InstanceRegistry(settings.state_dir)
    records = (registry.running() if stop_all else []) or [require_instance(settings, flags)]
    for record in records:
        _stop(record, registry, now=now)
        click.echo(f"Stopped the gateway at {record.address} (pid {record.pid}).")


@click.command("restart")
@selection_options
def restart(**flags: object) -> None:
    """Restart a running gateway with its original flags, and wait until it responds.

    Flags, environment, working directory and port stay the same. `.env`, the settings file and the code are read again.
    """
    from dragoman.server.http_server import RESTART  # noqa: PLC0415 - slow to import; only this command needs it

    settings = settings_from(flags)
    registry = InstanceRegistry(settings.state_dir)
    before = require_instance(settings, flags)
    _send_signal(before, RESTART)

    def poll() -> InstanceRecord | bool | None:
        """Return the new record once the gateway responds, or False if its process has ended."""
        return False if before.process() is None else find_healthy(registry, before.pid, previous=before)

    timeout = before.grace + _RESTART_MARGIN
    after = wait_for(poll, "Restarting; waiting for running requests", timeout)
    if not isinstance(after, InstanceRecord):
        raise click.ClickException(_explain_failed_restart(before, timeout, ended=after is False))
    click.echo(f"Restarted the gateway at {after.address} (pid {after.pid}).")


def _stop(record: InstanceRecord, registry: InstanceRegistry, *, now: bool) -> None:
    """Stop a gateway. A second signal ends its running requests at once.

    Raises:
        ClickException: It does not end in time, or this user cannot signal it.
    """
    _send_signal(record, signal.SIGTERM)
    if now:
        wait_for(lambda: None if is_healthy(record) else True, "Waiting for the gateway to react", _SIGNAL_TIMEOUT)
        if record in registry.running():
            _send_signal(record, signal.SIGTERM)
    stopped = wait_for(
        lambda: None if record in registry.running() else True,
        f"Stopping; running requests have {record.grace:g} s to finish",
        record.grace + _STOP_MARGIN,
    )
    if not stopped:
        raise click.ClickException(
            f"The gateway at {record.address} (pid {record.pid}) is still stopping. `dragoman stop --now` ends its "
            f"running requests at once; `kill -9 {record.pid}` ends the process in any case."
        )


def _send_signal(record: InstanceRecord, number: signal.Signals) -> None:
    """Send a signal to a gateway's process, and to no other process that has its id by now.

    Raises:
        ClickException: The process is not visible to this user.
    """
    process = record.process()
    try:
        if process is not None:
            process.send_signal(number)
    except PermissionError:
        process = None
    if process is None:
        raise click.ClickException(
            f"The gateway at {record.address} cannot be reached as process {record.pid}. It belongs to another user or "
            "runs in a container. Stop it there."
        )


def _explain_failed_restart(before: InstanceRecord, timeout: float, *, ended: bool) -> str:
    what = "did not start again" if ended else f"did not respond within {timeout:g} seconds"
    message = f"The gateway at {before.address} {what}."
    if before.output and Path(before.output).exists():
        return f"{message} Its last output:\n{last_output(before.output)}"
    return f"{message} Check the terminal or the service manager that started it."
