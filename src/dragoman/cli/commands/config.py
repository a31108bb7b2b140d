"""`dragoman config` and `dragoman models`: show the effective settings, and the models with their aliases."""

import json
from collections.abc import Iterable, Iterator

import click
import msgspec

from dragoman.cli.effective_config import EffectiveConfig, Row, effective_config, format_rows
from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp
from dragoman.cli.options import flags_by_setting, given_flags, serve_options, settings_from, settings_options
from dragoman.cli.terminal import as_typed
from dragoman.config.loading import BadSettings
from dragoman.config.settings import Settings
from dragoman.core.catalog import ALIASES, Catalog
from dragoman.core.errors import NotFound
from dragoman.core.value_object import value_object


@click.command("config")
@serve_options
@click.option("--given", "given_only", is_flag=True, help="Show only settings that are not at their default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def config(*, given_only: bool, as_json: bool, **flags: object) -> None:
    """Show the effective settings and the source of each: flag, variable, file or default.

    Takes the flags of `dragoman serve` and shows the settings that it would use. Secrets are not shown, only whether
    they are set. Exit code 1: a setting is invalid; the given values are still shown.
    """
    try:
        result = effective_config(given_flags(flags_by_setting(flags)))
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    rows = [row for row in result.rows if not given_only or row.origin.kind != "default"]
    if as_json:
        click.echo(_config_json(result, rows))
    else:
        click.echo(
            "\n".join(format_rows(rows))
            or as_typed("All settings are at their defaults. `dragoman config` shows them.")
        )
    for warning in result.unknown:
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    if result.problem:
        raise click.ClickException(f"{result.problem}\nRun `dragoman serve --help` to see all settings.")


def _config_json(result: EffectiveConfig, rows: Iterable[Row]) -> str:
    settings = {
        row.name: {"value": row.value, "secret": row.secret, "source": row.origin.kind, "named": row.origin.named}
        for row in rows
    }
    return json.dumps({"settings": settings, "problem": result.problem, "warnings": result.unknown}, indent=2)


@value_object
class _ModelRow:
    """A model, as `--json` prints it.

    Attributes:
        id: Its id.
        name: Its display name.
        context: Its context window in tokens.
        output: The maximum output in tokens.
        aliases: Other names of the model.
    """

    id: str
    name: str
    context: int
    output: int
    aliases: tuple[str, ...]


@click.command("models")
@settings_options([*GATEWAY_SETTINGS, "model_aliases"])
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(*, as_json: bool, **flags: object) -> None:
    """List the models and their aliases.

    The list comes from the running gateway. If no gateway responds, it contains the models that this version knows.
    """
    settings = settings_from(flags)
    gateway = GatewayHttp.select(settings, flags)
    try:
        response = gateway.get("/v1/models")
    except click.ClickException:
        rows = _known_models(settings)
        click.secho(
            "Note: No gateway responds. The list contains the models that this version knows.", fg="yellow", err=True
        )
    else:
        rows = _served_models(response.require_ok()["data"])
    click.echo(
        json.dumps([msgspec.to_builtins(row) for row in rows], indent=2) if as_json else "\n".join(_model_table(rows))
    )


def _served_models(data: object) -> list[_ModelRow]:
    """Return the models in a gateway's response. Aliases are entries of their own there, with the id as `root`."""
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    return [
        _ModelRow(
            str(entry["id"]),
            str(entry.get("display_name")),
            int(entry.get("context_window", 0)),
            int(entry.get("max_output_tokens", 0)),
            tuple(str(other["id"]) for other in entries if other is not entry and other.get("root") == entry["id"]),
        )
        for entry in entries
        if entry.get("root", entry["id"]) == entry["id"]
    ]


def _known_models(settings: Settings) -> list[_ModelRow]:
    catalog = Catalog(aliases=settings.model_aliases)
    ids = dict(_resolve_all(catalog, {**ALIASES, **settings.model_aliases}))
    return [
        _ModelRow(
            model.id,
            model.name,
            model.context_tokens,
            model.output_tokens,
            tuple(alias for alias, id_ in ids.items() if id_ == model.id),
        )
        for model in catalog.models
    ]


def _resolve_all(catalog: Catalog, aliases: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each alias with the id of its model. An alias of an unknown model is left out."""
    for alias in aliases:
        try:
            yield alias, catalog.resolve(alias).model.id
        except NotFound:
            continue


def _model_table(rows: list[_ModelRow]) -> Iterator[str]:
    width = max((len(row.id) for row in rows), default=0)
    yield click.style(f"{'model':{width}}  {'context':>9}  {'output':>7}  aliases", bold=True)
    for row in rows:
        yield f"{row.id:{width}}  {row.context:>9}  {row.output:>7}  {', '.join(row.aliases)}".rstrip()
