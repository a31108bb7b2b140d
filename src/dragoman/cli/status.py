"""`dragoman status`."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import click

from dragoman.cli.gateway_http import ASKING, GatewayHttp
from dragoman.cli.options import settings_from, settings_options


@click.command("status")
@settings_options(ASKING)
@click.option("--json", "as_json", is_flag=True, help="Print the gateway's own answer.")
def command(*, as_json: bool, **flags: object) -> None:
    """Ask a running gateway how it is. Exit code 0: it would answer a question."""
    answer = GatewayHttp.found(settings_from(flags), flags).get("/health/ready")
    click.echo(json.dumps(answer.body, indent=2) if as_json else "\n".join(_lines(answer.body)))
    raise SystemExit(0 if answer.status == HTTPStatus.OK else 1)


def _lines(answer: Mapping[str, object], indent: str = "") -> Iterator[str]:
    for key, value in answer.items():
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        elif value is not None:
            yield f"{indent}{key}: {value}"
