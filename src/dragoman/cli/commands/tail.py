"""`dragoman tail`."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

import click

from dragoman.cli.gateway_http import ASKING
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.run_sources import RunSource, runs_of
from dragoman.cli.run_table import coloured
from dragoman.cli.terminal import dollars, tokens, took

_WHOLE_ID = len("run_") + 32
_NEWEST = "last"


@click.command("tail")
@settings_options(ASKING)
@click.argument("run_id", metavar="ID", default=_NEWEST)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
def command(*, run_id: str, as_json: bool, **flags: object) -> None:
    """Follow a run's events as they come, from its beginning; also show a run that is over.

    ID may be cut short; without it, the newest run. Exit code 0: the run succeeded.
    """
    source = runs_of(settings_from(flags), flags)
    ended: Mapping[str, object] = {}
    shown = Shown()
    try:
        for name, data in source.events(whole_id(source, run_id)):
            if as_json:
                click.echo(json.dumps({"event": name, "data": data}))
            else:
                shown.event(name, data)
            ended = data if name == "end" else ended
    except KeyboardInterrupt:
        shown.close()
        return  # one who looks on may go
    if not ended:
        raise click.ClickException("The gateway went away. `dragoman status` tells whether it runs.")
    raise SystemExit(0 if ended["status"] == "succeeded" else 1)


def whole_id(source: RunSource, given: str) -> str:
    """The id that was cut short, or that of the newest run.

    Raises:
        ClickException: No run has it, or several have.
    """
    if len(given) >= _WHOLE_ID:
        return given
    runs = cast("list[dict[str, object]]", source.page(limit=500)["runs"])
    ids = [str(run["id"]) for run in runs]
    found = ids[:1] if given == _NEWEST else [id_ for id_ in ids if id_.startswith((given, f"run_{given}"))]
    if not ids:
        raise click.ClickException("There are no runs yet.")
    if not found:
        raise click.ClickException(f"There is no run `{given}`. `dragoman runs` lists what there is.")
    if len(found) > 1:
        raise click.ClickException(f"Several runs begin with `{given}`: {', '.join(found[:5])}.")
    return found[0]


class Shown:
    """Events, for people: texts as they come, each other thing on a line of its own."""

    def __init__(self) -> None:
        self._inside = False
        self._silent = True

    def event(self, name: str, data: Mapping[str, object]) -> None:
        """Print one."""
        match name:
            case "run":
                self._run(data)
            case "message":
                self._silent = False
                self._blocks(cast("Iterable[Mapping[str, object]]", data["content"]))
            case "content_block_start":
                self._begin(cast("Mapping[str, object]", data["content_block"]))
            case "content_block_delta":
                self._more(cast("Mapping[str, object]", data["delta"]))
            case "end":
                self._end(data)
            case "status" | "started" | "retrying" | "restarted":
                self._note(name, data)
            case _:
                pass

    def _run(self, run: Mapping[str, object]) -> None:
        click.echo(f"{run['id']}  {coloured(str(run['status']))}")
        told = {name: run[name] for name in ("model", "path", "upstream", "client", "endpoint", "request_id")}
        click.secho("  ".join(f"{name}={value}" for name, value in told.items() if value), dim=True)

    def _blocks(self, blocks: Iterable[Mapping[str, object]]) -> None:
        for block in blocks:
            self._begin(block)
            if text := block.get("text") or block.get("thinking"):
                self._write(str(text))
            elif called := block.get("input"):
                self._write(json.dumps(called))

    def _begin(self, block: Mapping[str, object]) -> None:
        self._silent = False
        self.close()
        if block["type"] != "text":
            named = f" {block['name']}" if "name" in block else ""
            click.secho(f"[{block['type']}{named}]", dim=True)

    def _more(self, delta: Mapping[str, object]) -> None:
        for part in ("text", "thinking", "partial_json"):
            if text := delta.get(part):
                self._write(str(text))

    def _note(self, name: str, data: Mapping[str, object]) -> None:
        self.close()
        told = "  ".join(f"{key}={value}" for key, value in data.items() if value)
        click.secho(f"[{name}]  {told}".rstrip(), dim=True)

    def _end(self, run: Mapping[str, object]) -> None:
        self.close()
        if self._silent and run["usage"]:
            click.secho("[What was said is not kept: `dragoman serve --runs-content` keeps it.]", dim=True)
        why = f"  {run['error'] or run['reason']}" if run["error"] or run["reason"] else ""
        stages = cast("Mapping[str, float]", run["stages"])
        times = "  ".join(f"{name} {seconds:.3f} s" for name, seconds in stages.items() if name != "total")
        status = coloured(str(run["status"]))
        click.echo(f"{status}{why}  in {took(run)}  {tokens(run)} tokens  {dollars(run)}\n{times}".rstrip())

    def _write(self, text: str) -> None:
        click.echo(text, nl=False)
        self._inside = not text.endswith("\n")

    def close(self) -> None:
        """End the line that is begun."""
        if self._inside:
            click.echo()
            self._inside = False
