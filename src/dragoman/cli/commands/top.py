"""`dragoman top`: what runs now, in a terminal."""

import shutil
import sys
from collections.abc import Mapping
from typing import cast

import click

from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.run_table import RunTable

_MAX_RUNS = 200
_OPEN_STATUSES = ("queued", "running")


@click.command("top")
@settings_options(GATEWAY_SETTINGS)
@click.option("--once", is_flag=True, help="Print the state once, and exit. Always, if the output is not a terminal.")
def top(*, once: bool, **flags: object) -> None:
    """Show the gateway's state and its newest runs as they change.

    Ctrl-C ends it.
    """
    gateway = GatewayHttp.select(settings_from(flags), flags)
    once = once or not sys.stdout.isatty()
    state: Mapping[str, object] = {}
    runs: dict[str, Mapping[str, object]] = {}
    try:
        for name, data in gateway.events(f"/admin/events?limit={_MAX_RUNS}"):
            if name in {"snapshot", "runs"}:
                changed = cast("list[Mapping[str, object]]", data["runs"])
                runs |= {str(run["id"]): run for run in changed}
                runs = dict(sorted(runs.items(), key=_newest_first)[:_MAX_RUNS])
            state = (
                cast("Mapping[str, object]", data["state"])
                if name == "snapshot"
                else data
                if name == "state"
                else state
            )
            lines = _lines(state, runs, gateway.address)
            if once:
                click.echo("\n".join(lines))
                return
            click.clear()
            click.echo("\n".join(lines[: shutil.get_terminal_size().lines - 1]))
    except KeyboardInterrupt:
        return


def _lines(state: Mapping[str, object], runs: Mapping[str, Mapping[str, object]], address: str) -> list[str]:
    ready = (
        click.style("ready", fg="green") if state["ready"] else click.style(f"not ready: {state['reason']}", fg="red")
    )
    counts = f"running {state['running']} of {state['places']}   queued {state['queued']} of {state['queue_size']}"
    table = RunTable.for_terminal()
    ordered = sorted(runs.values(), key=lambda run: run["status"] not in _OPEN_STATUSES)
    return [f"{address}   {ready}   {state['backend']}", counts, "", table.head, *map(table.row, ordered)]


def _newest_first(item: tuple[str, Mapping[str, object]]) -> float:
    return -float(str(item[1]["created"]))
