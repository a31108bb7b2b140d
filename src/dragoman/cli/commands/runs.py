"""`dragoman runs`, `tail` and `cancel`: list, follow and cancel runs."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import click

from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp, path_segment
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.run_sources import LiveRuns, RunSource, complete_id, open_run_source
from dragoman.cli.run_table import RunTable, format_cost, format_duration, format_status, format_tokens

_POLL_INTERVAL = 0.5
_OVERLAP = 600
"""Seconds that each poll of `--follow` looks back, to see runs that began earlier and end now."""
_PAGE_SIZE = 500
_STATUSES = click.Choice(["queued", "running", "succeeded", "failed", "cancelled"])


@click.command("runs")
@settings_options(GATEWAY_SETTINGS)
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--status", multiple=True, type=_STATUSES, help="Only runs with this status. Can be repeated.")
@click.option("--model", help="Only runs of models whose id contains this text, such as `sonnet`.")
@click.option("--client", help="Only runs of the client with this name.")
@click.option("--since", help="Only runs since then: `15m`, `2h`, `7d` or `2026-01-31T12:00`.")
@click.option("--after", help="Only runs that follow the run with this id in the list: the next page.")
@click.option("-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many runs.")
@click.option("-f", "--follow", is_flag=True, help="Print each run when it begins and when it ends, until Ctrl-C.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the gateway's JSON response. With --follow: one line per run."
)
def runs(  # noqa: PLR0913 - one for each filter
    *,
    run_id: str | None,
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
    """List the runs of a gateway, newest first, or show one run with its warnings.

    ID can be the beginning of an id, or `last` for the newest run. If no gateway is running, the recorded runs in the
    state directory are listed.
    """
    settings = settings_from(flags)
    if run_id is not None:
        _show(open_run_source(settings, flags), run_id, as_json=as_json)
        return
    filters = {"status": ",".join(status) or None, "model": model, "client": client}
    if follow:
        _follow(LiveRuns(GatewayHttp.select(settings, flags)), filters, as_json=as_json)
        return
    page = open_run_source(settings, flags).page(**filters, since=since, after=after, limit=limit)
    if as_json:
        click.echo(json.dumps(page, indent=2))
        return
    found = cast("list[dict[str, object]]", page["runs"])
    table = RunTable.for_terminal(errors=any(run["error"] for run in found))
    click.echo("\n".join([table.head, *map(table.row, found)]) if found else "No runs.")
    if page["more"]:
        click.echo(f"There are more runs. Next page: --after {found[-1]['id']}", err=True)


@click.command("tail")
@settings_options(GATEWAY_SETTINGS)
@click.argument("run_id", metavar="ID", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
def tail(*, run_id: str, as_json: bool, **flags: object) -> None:
    """Follow the events of a run from its beginning, or show a run that has ended.

    ID can be the beginning of an id, or `last` for the newest run (the default). Exit code 0: the run succeeded.
    """
    source = open_run_source(settings_from(flags), flags)
    end: Mapping[str, object] = {}
    printer = EventPrinter()
    try:
        for name, data in source.events(complete_id(source, run_id)):
            if as_json:
                click.echo(json.dumps({"event": name, "data": data}))
            else:
                printer.print(name, data)
            end = data if name == "end" else end
    except KeyboardInterrupt:
        return  # stops following; the run continues
    finally:
        printer.end_line()
    if not end:
        raise click.ClickException(
            "The gateway closed the connection before the run ended. Run `dragoman status` to check it."
        )
    raise SystemExit(0 if end["status"] == "succeeded" else 1)


@click.command("cancel")
@settings_options(GATEWAY_SETTINGS)
@click.argument("run_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def cancel(*, run_id: str, as_json: bool, **flags: object) -> None:
    """Cancel a run. Its client receives the error `run_cancelled`.

    ID can be the beginning of an id, or `last` for the newest run.
    """
    gateway = GatewayHttp.select(settings_from(flags), flags)
    id_ = complete_id(LiveRuns(gateway), run_id)
    run = gateway.post(f"/admin/runs/{path_segment(id_)}/cancel").require_ok()
    click.echo(json.dumps(run, indent=2) if as_json else f"Cancelled {run['id']}.")


def _show(source: RunSource, run_id: str, *, as_json: bool) -> None:
    # Only the first event is read: the others of an open run are still to come.
    _name, run = next(source.events(complete_id(source, run_id)))
    if as_json:
        click.echo(json.dumps(run, indent=2))
    else:
        EventPrinter().print_record(run)


def _follow(source: RunSource, filters: dict[str, str | None], *, as_json: bool) -> None:
    source.page(limit=1)  # fail before the table is printed
    table = RunTable.for_terminal(errors=True)
    if not as_json:
        click.echo(table.head)
    try:
        for run in changes(source, filters):
            click.echo(json.dumps(run) if as_json else table.row(run))
    except KeyboardInterrupt:
        return  # stops following


def changes(source: RunSource, filters: dict[str, str | None]) -> Iterator[dict[str, object]]:
    """Yield each run when its status changes. Of the runs at the start, yield those that have not ended."""
    began = time.time()
    seen: dict[object, object] = {}
    while True:
        found = list(_all_runs(source, **filters, since=max(began, time.time()) - _OVERLAP))
        for run in reversed(found):
            is_changed = seen.get(run["id"]) != run["status"]
            if is_changed and (run["id"] in seen or run["ended"] is None or float(str(run["ended"])) >= began):
                yield run
        seen = {run["id"]: run["status"] for run in found}
        time.sleep(_POLL_INTERVAL)


def _all_runs(source: RunSource, **filters: object) -> Iterator[dict[str, object]]:
    """Yield all runs that match, newest first, page by page."""
    after: object = None
    while True:
        page = source.page(**filters, after=after, limit=_PAGE_SIZE)
        found = cast("list[dict[str, object]]", page["runs"])
        yield from found
        if not page["more"] or not found:
            return
        after = found[-1]["id"]


class EventPrinter:
    """Prints the events of a run: text as it arrives, everything else on a line of its own."""

    def __init__(self) -> None:
        self._in_line = False
        self._has_content = False

    def print(self, name: str, data: Mapping[str, object]) -> None:
        """Print one event."""
        match name:
            case "run":
                self._print_run(data)
            case "message":
                self._has_content = True
                self._print_blocks(cast("Iterable[Mapping[str, object]]", data["content"]))
            case "content_block_start":
                self._start_block(cast("Mapping[str, object]", data["content_block"]))
            case "content_block_delta":
                delta = cast("Mapping[str, object]", data["delta"])
                self._write("".join(str(delta.get(key) or "") for key in ("text", "thinking", "partial_json")))
            case "end":
                self._print_end(data)
            case "status" | "started" | "retrying" | "restarted":
                self.end_line()
                click.secho(f"[{name}]  {_facts(data)}".rstrip(), dim=True)
            case _:
                pass

    def print_record(self, run: Mapping[str, object]) -> None:
        """Print what is known of a run, without its text."""
        self._has_content = True
        self._print_run(run)
        self._print_end(run)

    def end_line(self) -> None:
        """End the current line, if it has any text."""
        if self._in_line:
            click.echo()
            self._in_line = False

    def _print_run(self, run: Mapping[str, object]) -> None:
        click.echo(f"{run['id']}  {format_status(str(run['status']))}")
        names = ("model", "path", "upstream", "client", "endpoint", "request_id")
        click.secho(_facts({name: run[name] for name in names}), dim=True)

    def _print_blocks(self, blocks: Iterable[Mapping[str, object]]) -> None:
        for block in blocks:
            self._start_block(block)
            if text := block.get("text") or block.get("thinking"):
                self._write(str(text))
            elif tool_input := block.get("input"):
                self._write(json.dumps(tool_input))

    def _start_block(self, block: Mapping[str, object]) -> None:
        self._has_content = True
        self.end_line()
        if block["type"] != "text":
            tool = f" {block['name']}" if "name" in block else ""
            click.secho(f"[{block['type']}{tool}]", dim=True)

    def _print_end(self, run: Mapping[str, object]) -> None:
        self.end_line()
        if not self._has_content and run["usage"]:
            click.secho(
                "[The text of this run was not stored. Start the gateway with --runs-content to store it.]", dim=True
            )
        for warning in cast("Iterable[Mapping[str, object]]", run.get("warnings") or ()):
            click.secho(f"[{warning['code']} {warning['param']}]  {warning['detail']}", fg="yellow")
        if line := _cache_line(run.get("cache")):
            click.secho(line, fg="yellow")
        reason = f"  {run['error'] or run['reason']}" if run["error"] or run["reason"] else ""
        stages = cast("Mapping[str, float]", run["stages"])
        times = "  ".join(f"{name} {seconds:.3f} s" for name, seconds in stages.items() if name != "total")
        figures = f"in {format_duration(run)}  {format_tokens(run)} tokens  {format_cost(run)}"
        click.echo(f"{format_status(str(run['status']))}{reason}  {figures}\n{times}".rstrip())

    def _write(self, text: str) -> None:
        if text:
            self._in_line = True  # first: Ctrl-C may interrupt the write, and `end_line` must see it
            click.echo(text, nl=False)
            self._in_line = not text.endswith("\n")


def _cache_line(use: object) -> str:
    """Return why Claude's cache was not read as far as it could have been; empty if it was."""
    if not isinstance(use, Mapping) or not use["reason"]:
        return ""
    expected = "" if use["expected"] is None else f" of {use['expected']}"
    part = f" ({use['part']})" if use["part"] else ""
    return f"[cache {use['reason']}]  {use['read']}{expected} tokens read. {use['detail']}{part}"


def _facts(data: Mapping[str, object]) -> str:
    return "  ".join(f"{name}={value}" for name, value in data.items() if value)
