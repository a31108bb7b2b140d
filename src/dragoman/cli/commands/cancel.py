"""`dragoman cancel`."""

import json

import click

from dragoman.cli.commands.tail import whole_id
from dragoman.cli.gateway_http import ASKING, GatewayHttp, segment, succeeded
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.run_sources import LiveRuns


@click.command("cancel")
@settings_options(ASKING)
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def command(*, run_id: str, as_json: bool, **flags: object) -> None:
    """Cancel a run. Its client gets the error `run_cancelled`.

    ID may be cut short, or be `last`, for the newest run.
    """
    gateway = GatewayHttp.found(settings_from(flags), flags)
    run = succeeded(gateway.post(f"/admin/runs/{segment(whole_id(LiveRuns(gateway), run_id))}/cancel"))
    click.echo(json.dumps(run, indent=2) if as_json else f"Cancelled {run['id']}.")
