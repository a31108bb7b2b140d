"""`dragoman models`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import click

from dragoman.cli.gateway_http import ASKING, GatewayHttp, succeeded
from dragoman.cli.options import settings_from, settings_options
from dragoman.config.settings import Settings
from dragoman.core.catalog import ALIASES, Catalog
from dragoman.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class _Row:
    """A model.

    Attributes:
        id: Its id.
        name: What people call it.
        context: Tokens that it reads at most.
        output: Tokens that it writes at most.
        aliases: Other names that lead to it.
    """

    id: str
    name: str
    context: int
    output: int
    aliases: tuple[str, ...]


@click.command("models")
@settings_options([*ASKING, "model_aliases"])
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def command(*, as_json: bool, **flags: object) -> None:
    """List the models and the names they go by.

    Those of the gateway that runs; where none does, those that this version knows.
    """
    settings = settings_from(flags)
    gateway = GatewayHttp.found(settings, flags)
    try:
        answer = gateway.get("/v1/models")
    except click.ClickException:
        rows = _known(settings)
        click.secho("Note: No gateway answers; these are the models that this version knows.", fg="yellow", err=True)
    else:
        rows = _served(succeeded(answer)["data"])
    click.echo(json.dumps([asdict(row) for row in rows], indent=2) if as_json else "\n".join(_table(rows)))


def _served(listed: object) -> list[_Row]:
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [
        _Row(
            str(entry["id"]),
            str(entry.get("display_name")),
            int(entry.get("context_window", 0)),
            int(entry.get("max_output_tokens", 0)),
            tuple(str(other["id"]) for other in entries if other is not entry and other.get("root") == entry["id"]),
        )
        for entry in entries
        if entry.get("root", entry["id"]) == entry["id"]
    ]


def _known(settings: Settings) -> list[_Row]:
    catalog = Catalog(aliases=settings.model_aliases)
    leads = dict(_leads(catalog, {**ALIASES, **settings.model_aliases}))
    return [
        _Row(
            model.id,
            model.name,
            model.context_tokens,
            model.output_tokens,
            tuple(name for name, id_ in leads.items() if id_ == model.id),
        )
        for model in catalog.models
    ]


def _leads(catalog: Catalog, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, catalog.resolve(name).model.id
        except NotFound:
            continue


def _table(rows: list[_Row]) -> Iterator[str]:
    width = max((len(row.id) for row in rows), default=0)
    yield click.style(f"{'model':{width}}  {'reads':>9}  {'writes':>7}  also called", bold=True)
    for row in rows:
        yield f"{row.id:{width}}  {row.context:>9}  {row.output:>7}  {', '.join(row.aliases)}".rstrip()
