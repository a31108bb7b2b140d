"""`dragoman connect`: print the settings that a client needs to use the gateway."""

import json
from collections.abc import Mapping

import click
import msgspec
from click.shell_completion import CompletionItem

from dragoman.cli.connect import CLIENTS
from dragoman.cli.connect.client import Client, Target
from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.terminal import as_typed
from dragoman.config.settings import Settings
from dragoman.config.sources import closest_match
from dragoman.core.catalog import MODEL_LIST_ENDPOINT, Catalog
from dragoman.core.errors import NotFound


def _complete_client(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=client.title) for name, client in CLIENTS.items() if name.startswith(incomplete)]


@click.command("connect")
@click.argument("name", metavar="[CLIENT]", required=False, shell_complete=_complete_client)
@settings_options(GATEWAY_SETTINGS)
@click.option("--model", help="Model for the client. [default: the gateway's default model]")
@click.option("--address", metavar="URL", help="Address of the gateway. [default: the running gateway]")
@click.option("--raw", is_flag=True, help="Print only the file or the program.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def connect(
    *, name: str | None, model: str | None, address: str | None, raw: bool, as_json: bool, **flags: object
) -> None:
    """Show how to configure a client for the gateway: files, variables and fields. Without CLIENT, list the clients.

    The command changes nothing. Merge the printed settings with the client's own files. The API key is never printed.
    """
    if name is None:
        titles = {known.name: known.title for known in CLIENTS.values()}
        click.echo(json.dumps(titles, indent=2) if as_json else _format_list(titles))
        return
    client = _find_client(name)
    target, warning = find_target(settings_from(flags), flags, model, address)
    if raw:
        click.echo(client.parts(target)[0].text)
    elif as_json:
        click.echo(json.dumps(_as_json(client, target), indent=2))
    else:
        click.echo(_format_client(client, target))
    if warning:
        click.secho(f"Note: {warning}", fg="yellow", err=True)


def _find_client(name: str) -> Client:
    """Return a client by its name.

    Raises:
        ClickException: There is no such client.
    """
    if client := CLIENTS.get(name.lower()):
        return client
    suggestion = closest_match(name.lower(), CLIENTS)
    hint = f" Did you mean {suggestion}?" if suggestion else ""
    raise click.ClickException(f"Unknown client {name!r}.{hint} `dragoman connect` lists the clients.")


def find_target(
    settings: Settings, flags: Mapping[str, object], model: str | None, address: str | None
) -> tuple[Target, str]:
    """Return the gateway as the client sees it, and a warning if no gateway responds."""
    gateway = GatewayHttp.select(settings, flags)
    name = model or settings.default_model
    try:
        resolved = Catalog(aliases=settings.model_aliases).resolve(name).model
    except NotFound as error:
        raise click.ClickException(error.message.replace(MODEL_LIST_ENDPOINT, "`dragoman models`")) from None
    needs_key, warning = bool(settings.api_key or settings.keys), ""
    if address is None:
        address = gateway.address
        try:
            # A gateway with a key reports its version only to clients that send the key.
            response = GatewayHttp(gateway.host, gateway.port, None).get("/health/ready")
            needs_key = "version" not in response.body
        except click.ClickException as error:
            warning = error.message
    address = address.rstrip("/").removesuffix("/v1")
    return Target(address, name, needs_key, resolved.context_tokens, resolved.output_tokens), warning


def _format_list(titles: Mapping[str, str]) -> str:
    width = max(map(len, titles))
    lines = [f"  {name:{width}}  {title}" for name, title in titles.items()]
    hint = "`dragoman connect CLIENT` shows its settings. Any other client needs a base URL, an API key and a model."
    return as_typed("\n".join(["Clients:", *lines, "", hint]))


def _as_json(client: Client, target: Target) -> dict[str, object]:
    return {
        "client": client.name,
        "title": client.title,
        "base_url": target.base_url,
        "address": target.address,
        "model": target.model,
        "keyed": target.needs_key,
        "key_variable": client.key_variable or None,
        "parts": [msgspec.to_builtins(part) for part in client.parts(target)],
        "note": client.note or None,
    }


def _format_client(client: Client, target: Target) -> str:
    lines = [click.style(f"{client.title}: {target.base_url}, model {target.model}", bold=True)]
    for part in client.parts(target):
        lines += ["", click.style(f"# {part.where}", dim=True), part.text]
    if target.needs_key and client.key_variable:
        lines += ["", f"Replace ... by the gateway's API key, unless {client.key_variable} already contains it."]
    return "\n".join([*lines, *(["", client.note] if client.note else ())])
