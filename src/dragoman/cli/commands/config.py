"""`dragoman config`."""

import json
from collections.abc import Iterable

import click

from dragoman.cli.effective_config import EffectiveConfig, Row, effective_config, table
from dragoman.cli.options import plain, serve_options, told
from dragoman.config.loading import BadSettings


@click.command("config")
@serve_options
@click.option("--given", "given_alone", is_flag=True, help="Only what differs from the defaults.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(*, given_alone: bool, as_json: bool, **flags: object) -> None:
    """Show the settings in force, and where each comes from: flag, variable, file or default.

    Takes the flags of `serve`, and shows what that would get. Secrets are never shown, only that they are set. Exit
    code 1: they cannot be used; what was given is shown all the same.
    """
    try:
        found = effective_config(told(plain(flags)))
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    rows = [row for row in found.rows if not given_alone or row.origin.kind != "default"]
    click.echo(_json(found, rows) if as_json else "\n".join(table(rows)))
    for warning in found.unknown:
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    if found.problem:
        raise click.ClickException(f"{found.problem}\n`dragoman serve --help` lists all settings.")


def _json(found: EffectiveConfig, rows: Iterable[Row]) -> str:
    settings = {
        row.name: {"value": row.value, "secret": row.secret, "source": row.origin.kind, "named": row.origin.named}
        for row in rows
    }
    return json.dumps({"settings": settings, "problem": found.problem, "warnings": found.unknown}, indent=2)
