"""`dragoman runs`."""

import json
import time
from collections.abc import Iterator
from typing import cast

import click

from dragoman.cli.gateway_http import ASKING, GatewayHttp
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.run_sources import LiveRuns, RunSource, runs_of
from dragoman.cli.run_table import RunTable

_PAUSE = 0.5
_OVERLAP = 600
"""Seconds that are looked back over while following: a run that began earlier may have ended only now."""

_STATUSES = click.Choice(["queued", "running", "succeeded", "failed", "cancelled"])


@click.command("runs")
@settings_options(ASKING)
@click.option("--status", multiple=True, type=_STATUSES, help="Those that stand so; can be repeated.")
@click.option("--model", help="Those of models whose id holds this: `sonnet`.")
@click.option("--client", help="Those of this client.")
@click.option("--since", help="Those from then on: `15m`, `2h`, `7d`, `2026-01-31T12:00`.")
@click.option("--after", help="Those behind the run of this id: the next page.")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with each run that begins or ends, until Ctrl-C.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: the gateway's own answer, or with --follow a line a run."
)
def command(  # noqa: PLR0913 - as many as there are filters
    *,
    status: tuple[str, ...],
    model: str | None,
    client: str | None,
    since: str | None,
    after: str | None,
    limit: int,
    follow: bool,
    as_json: bool,
    **flags: object,
) -> None:
    """List the runs of a gateway, the newest first: those that go on and those that are over.

    Where no gateway runs, those that are over.
    """
    settings = settings_from(flags)
    filters = {"status": ",".join(status) or None, "model": model, "client": client}
    if follow:
        _follow(LiveRuns(GatewayHttp.found(settings, flags)), filters, as_json=as_json)
        return
    answer = runs_of(settings, flags).page(**filters, since=since, after=after, limit=limit)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    found = cast("list[dict[str, object]]", answer["runs"])
    table = RunTable.shown()
    click.echo("\n".join([table.head, *map(table.row, found)]) if found else "No runs.")
    if answer["more"]:
        click.echo(f"There are more: --after {found[-1]['id']}", err=True)


def _follow(source: RunSource, filters: dict[str, str | None], *, as_json: bool) -> None:
    source.page(limit=1)  # whatever is wrong is said before the table begins
    table = RunTable.shown()
    if not as_json:
        click.echo(table.head)
    try:
        for run in _changes(source, filters):
            click.echo(json.dumps(run) if as_json else table.row(run))
    except KeyboardInterrupt:
        return  # how following ends


def _changes(source: RunSource, filters: dict[str, str | None]) -> Iterator[dict[str, object]]:
    """Each run whenever it stands differently from when it was last seen; of those before, the open ones only."""
    began = time.time()
    seen: dict[object, object] = {}
    while True:
        since = max(began, time.time()) - _OVERLAP
        answer = source.page(**filters, since=since, limit=500)
        found = cast("list[dict[str, object]]", answer["runs"])
        for run in reversed(found):
            is_news = seen.get(run["id"]) != run["status"]
            if is_news and (run["id"] in seen or run["ended"] is None or float(str(run["ended"])) >= began):
                yield run
        seen = {run["id"]: run["status"] for run in found}
        time.sleep(_PAUSE)
