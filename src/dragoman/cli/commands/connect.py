"""The command."""

import json
from collections.abc import Mapping
from dataclasses import asdict

import click
from click.shell_completion import CompletionItem

from dragoman.cli.connect.client import Client, Target
from dragoman.cli.connect.libraries import CLIENTS
from dragoman.cli.gateway_http import ASKING, GatewayHttp
from dragoman.cli.options import settings_from, settings_options
from dragoman.config.settings import Settings
from dragoman.config.sources import closest_match
from dragoman.core.catalog import ASKED_FOR, Catalog
from dragoman.core.errors import NotFound


def _completed(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=client.title) for name, client in CLIENTS.items() if name.startswith(begun)]


@click.command("connect")
@click.argument("name", metavar="[CLIENT]", required=False, shell_complete=_completed)
@settings_options(ASKING)
@click.option("--model", help="Model to ask. [default: the gateway's]")
@click.option("--address", metavar="URL", help="Where the client reaches the gateway. [default: the one that runs]")
@click.option("--raw", is_flag=True, help="Print the file, or the program, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(
    *, name: str | None, model: str | None, address: str | None, raw: bool, as_json: bool, **flags: object
) -> None:
    """Show what to tell a client so that it finds the gateway: files, variables, fields. Without CLIENT, list them.

    Nothing is changed: files are printed as they should be, to merge with what is there. The key is never printed.
    """
    if name is None:
        listed = {known.name: known.title for known in CLIENTS.values()}
        click.echo(json.dumps(listed, indent=2) if as_json else _list(listed))
        return
    client = _client(name)
    target, missing = _target(settings_from(flags), flags, model, address)
    if raw:
        click.echo(client.parts(target)[0].text)
    elif as_json:
        click.echo(json.dumps(_as_json(client, target), indent=2))
    else:
        click.echo(_for_people(client, target))
    if missing:
        click.secho(f"Note: {missing}", fg="yellow", err=True)


def _client(name: str) -> Client:
    """A client by its name.

    Raises:
        ClickException: There is none.
    """
    if client := CLIENTS.get(name.lower()):
        return client
    meant = closest_match(name.lower(), CLIENTS)
    hint = f" Did you mean {meant}?" if meant else ""
    raise click.ClickException(f"There is no client {name!r} here.{hint} `dragoman connect` lists them.")


def _target(
    settings: Settings, flags: Mapping[str, object], model: str | None, address: str | None
) -> tuple[Target, str]:
    """The gateway, and what is to be said where it does not answer."""
    found = GatewayHttp.found(settings, flags)
    asked = model or settings.default_model
    try:
        known = Catalog(aliases=settings.model_aliases).resolve(asked).model
    except NotFound as error:
        raise click.ClickException(error.message.replace(ASKED_FOR, "`dragoman models`")) from None
    keyed, missing = bool(settings.api_key or settings.keys), ""
    if address is None:
        address = found.address
        try:
            # Those who hold no key are told less.
            keyed = "version" not in GatewayHttp(found.host, found.port, None).get("/health/ready").body
        except click.ClickException as error:
            missing = error.message
    return Target(
        address.rstrip("/").removesuffix("/v1"), asked, keyed, known.context_tokens, known.output_tokens
    ), missing


def _list(listed: Mapping[str, str]) -> str:
    width = max(map(len, listed))
    lines = [f"  {name:{width}}  {title}" for name, title in listed.items()]
    return "\n".join(
        ["Clients:", *lines, "", "`dragoman connect CLIENT` shows what to tell one. Any other: base URL, key, model."]
    )


def _as_json(client: Client, target: Target) -> dict[str, object]:
    return {
        "client": client.name,
        "title": client.title,
        "base_url": target.base_url,
        "address": target.address,
        "model": target.model,
        "keyed": target.keyed,
        "key_variable": client.variable or None,
        "parts": [asdict(part) for part in client.parts(target)],
        "note": client.note or None,
    }


def _for_people(client: Client, target: Target) -> str:
    lines = [click.style(f"{client.title}: {target.base_url}, model {target.model}", bold=True)]
    for part in client.parts(target):
        lines += ["", click.style(f"# {part.where}", dim=True), part.text]
    if target.keyed and client.variable:
        lines += ["", f"The gateway's key goes where ... stands, or is in {client.variable} already."]
    return "\n".join([*lines, *(["", client.note] if client.note else ())])
