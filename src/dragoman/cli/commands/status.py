"""`dragoman status`."""

import json
from collections.abc import Mapping
from http import HTTPStatus

import click

from dragoman.cli.gateway_http import ASKING, GatewayHttp, succeeded
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.select_instance import chosen
from dragoman.cli.status_report import status_lines


@click.command("status")
@settings_options(ASKING)
@click.option("--json", "as_json", is_flag=True, help="Print the gateway's own answer.")
def command(*, as_json: bool, **flags: object) -> None:
    """Ask a running gateway how it is: account, processes, runs, versions. Exit code 0: it would answer a question."""
    settings = settings_from(flags)
    gateway, record = GatewayHttp.found(settings, flags), chosen(settings, flags)
    answer = gateway.get("/admin/status")
    if answer.status == HTTPStatus.UNAUTHORIZED:  # without the key there is less to see, but not nothing
        answer = gateway.get("/health/ready")
    elif answer.status != HTTPStatus.OK:
        succeeded(answer)
    told = answer.body
    click.echo(json.dumps(told, indent=2) if as_json else "\n".join(status_lines(gateway.address, told, record)))
    raise SystemExit(0 if _is_ready(told) else 1)


def _is_ready(told: Mapping[str, object]) -> bool:
    return told.get("status") == "ready"
