"""`dragoman keys`, `dragoman teams` and `dragoman usage`."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import click
import msgspec
from starlette.datastructures import QueryParams

from dragoman.cli.access import AccessFiles, format_time, parse_model_limits, with_access
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.terminal import as_typed
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.limits.rules import Scope, ScopeKind
from dragoman.server.admin.access_changes import KeyChanges, TeamChanges, key_view, parse_duration, team_view

_FILES = ("state_dir", "config")
_NONE = "none"
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_simulated = click.option(
    "--simulated", is_flag=True, help="Show what the simulator's responses would have cost (`serve --simulate`)."
)


def _limit_options(command: _Decorated) -> _Decorated:
    for option in reversed(
        (
            click.option("--budget", multiple=True, help="What may be spent: `20usd/month`. Can be repeated. `none`."),
            click.option("--rpm", metavar="N", help="Requests per minute. `none`: no limit."),
            click.option("--tpm", metavar="N", help="Tokens per minute, such as `200k`. `none`: no limit."),
            click.option("--concurrency", metavar="N", help="Runs at the same time. `none`: no limit."),
            click.option("--model-limit", multiple=True, help="`opus:rpm=5,budget=2usd/day`, in addition. `none`."),
        )
    ):
        command = option(command)
    return command


def _key_options(command: _Decorated) -> _Decorated:
    for option in reversed(
        (
            click.option("--team", help="Its team. `none`: no team."),
            click.option("--models", help="The models that it may use, separated by commas. `none`: all."),
            click.option("--upstreams", help="The upstreams that it may use, separated by commas. `none`: all."),
            click.option("--agents/--no-agents", default=None, help="Whether it may start agents."),
            click.option("--expires", help="When it expires: `90d` or `2027-01-31`. `none`: never."),
        )
    ):
        command = option(command)
    return _limit_options(command)


def _command(group: click.Group, name: str) -> Callable[[_Decorated], click.Command]:
    """Return a decorator that adds a command with the options of all commands here."""

    def decorate(function: _Decorated) -> click.Command:
        as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        return group.command(name)(as_json(settings_options(_FILES)(function)))

    return decorate


@click.group("keys")
def keys() -> None:
    """Create and change the keys of clients. A running gateway sees changes within a second."""


@click.group("teams")
def teams() -> None:
    """Create and change teams: keys that share limits and budgets."""


@_command(keys, "create")
@click.argument("name")
@_key_options
def create_key(*, name: str, as_json: bool, **flags: Any) -> None:
    """Create a key. Its secret is shown once.

    NAME names the client in records and usage.
    """
    changes, settings = _changes(flags, KeyChanges), settings_from(_settings(flags))
    key, secret = with_access(settings, lambda files: files.changes.create_key(name, changes))
    _show_secret(key_view(key, time.time()), secret, as_json=as_json)
    if not as_json and not (settings.api_key or settings.admin_key):
        click.echo(
            as_typed(
                "The gateway requires a key from now on, also from you. Commands such as `dragoman runs`, and the "
                "dashboard, need an admin key: if the gateway has none, start it with --admin-key-file FILE."
            ),
            err=True,
        )


@_command(keys, "list")
def list_keys(*, as_json: bool, **flags: Any) -> None:
    """List all keys."""
    state = with_access(settings_from(flags), lambda files: files.store.load())
    views = [key_view(key, time.time()) for key in state.keys.values()]
    if as_json:
        click.echo(json.dumps({"keys": views}, indent=2))
        return
    columns = ("name", "state", "team", "secret", "limits", "expires")
    rows = [
        (
            str(view["name"]),
            str(view["state"]),
            str(view["team"] or "-"),
            ", ".join(f"{secret['prefix']}…" for secret in cast("list[JSONObject]", view["secrets"])) or "-",
            _limits_text(view),
            format_time(view["expires"]),
        )
        for view in views
    ]
    click.echo(_table(columns, rows) if rows else as_typed("No keys. Create one: `dragoman keys create NAME`."))


@_command(keys, "show")
@click.argument("name")
@_simulated
def show_key(*, name: str, simulated: bool, as_json: bool, **flags: Any) -> None:
    """Show a key, and what is used of its limits and budgets."""

    async def work(files: AccessFiles) -> JSONObject:
        key = (await files.store.load()).keys.get(name)
        if key is None:
            raise NotFound(f"There is no key `{name[:40]}`.")
        return {**key_view(key, time.time()), "use": await files.use(Scope(ScopeKind.KEY, name))}

    _show(with_access(settings_from(flags), work, simulated=simulated), as_json=as_json)


@_command(keys, "update")
@click.argument("name")
@_key_options
def update_key(*, name: str, as_json: bool, **flags: Any) -> None:
    """Change what a key may use. What is not given stays as it is."""
    changes, settings = _changes(flags, KeyChanges), settings_from(_settings(flags))
    key = with_access(settings, lambda files: files.changes.update_key(name, changes))
    _show(key_view(key, time.time()), as_json=as_json)


@_command(keys, "rotate")
@click.argument("name")
@click.option("--grace", default="1d", show_default=True, help="For how long the old secret stays valid. `0s`: not.")
def rotate_key(*, name: str, grace: str, as_json: bool, **flags: Any) -> None:
    """Give a key a new secret, which is shown once. The old one stays valid for a time."""

    async def work(files: AccessFiles) -> tuple[JSONObject, str]:
        key, secret = await files.changes.rotate_key(name, parse_duration(grace))
        return key_view(key, time.time()), secret

    view, secret = with_access(settings_from(flags), work)
    _show_secret(view, secret, as_json=as_json)


@_command(keys, "revoke")
@click.argument("name")
def revoke_key(*, name: str, as_json: bool, **flags: Any) -> None:
    """Revoke a key for ever. Its requests are refused within a second."""
    key = with_access(settings_from(flags), lambda files: files.changes.revoke_key(name))
    click.echo(json.dumps(key_view(key, time.time()), indent=2) if as_json else f"Revoked {name}.")


@_command(keys, "audit")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many entries.")
def audit(*, limit: int, as_json: bool, **flags: Any) -> None:
    """Show changes of keys and teams, the newest first."""
    entries = with_access(settings_from(flags), lambda files: files.store.audit(limit))
    if as_json:
        click.echo(json.dumps({"entries": msgspec.to_builtins(entries)}, indent=2))
        return
    rows = [(format_time(one.at), one.actor, one.action, one.kind, one.name) for one in entries]
    click.echo(_table(("time", "by", "action", "kind", "name"), rows) if rows else "No changes.")


@_command(teams, "create")
@click.argument("name")
@_limit_options
def create_team(*, name: str, as_json: bool, **flags: Any) -> None:
    """Create a team."""
    _change_team(name, flags, create=True, as_json=as_json)


@_command(teams, "update")
@click.argument("name")
@_limit_options
def update_team(*, name: str, as_json: bool, **flags: Any) -> None:
    """Change what a team may use. What is not given stays as it is."""
    _change_team(name, flags, create=False, as_json=as_json)


@_command(teams, "list")
def list_teams(*, as_json: bool, **flags: Any) -> None:
    """List all teams."""
    state = with_access(settings_from(flags), lambda files: files.store.load())
    views = [team_view(team) for team in state.teams.values() if team.deleted is None]
    if as_json:
        click.echo(json.dumps({"teams": views}, indent=2))
        return
    rows = [(str(view["name"]), _limits_text(view)) for view in views]
    click.echo(
        _table(("name", "limits"), rows) if rows else as_typed("No teams. Create one: `dragoman teams create NAME`.")
    )


@_command(teams, "show")
@click.argument("name")
@_simulated
def show_team(*, name: str, simulated: bool, as_json: bool, **flags: Any) -> None:
    """Show a team, its keys, and what is used of its limits and budgets."""

    async def work(files: AccessFiles) -> JSONObject:
        state = await files.store.load()
        if (team := state.teams.get(name)) is None:
            raise NotFound(f"There is no team `{name[:40]}`.")
        members = [key.name for key in state.keys.values() if key.team == name]
        return {**team_view(team), "keys": [*members], "use": await files.use(Scope(ScopeKind.TEAM, name))}

    _show(with_access(settings_from(flags), work, simulated=simulated), as_json=as_json)


@_command(teams, "delete")
@click.argument("name")
def delete_team(*, name: str, as_json: bool, **flags: Any) -> None:
    """Delete a team that has no valid keys."""
    team = with_access(settings_from(flags), lambda files: files.changes.delete_team(name))
    click.echo(json.dumps(team_view(team), indent=2) if as_json else f"Deleted {name}.")


@click.command("usage")
@settings_options(_FILES)
@click.option("--by", default="key", show_default=True, help="What to sum by: key, team, model, upstream, status, day.")
@click.option("--since", help="Only runs that began then or later: `7d`, `yesterday`, `2026-01-31`.")
@click.option("--until", help="Only runs that began before: `today`.")
@click.option("--key", help="Only runs of this key.")
@click.option("--team", help="Only runs of this team.")
@click.option("--model", help="Only runs of this model, by its id.")
@click.option("--upstream", help="Only runs on this upstream.")
@_simulated
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def usage(*, simulated: bool, as_json: bool, state_dir: str | None, config: str | None, **filters: Any) -> None:
    """Show what runs have used and cost: sums of the ledger, the most expensive first."""
    params = QueryParams([(name, value) for name, value in filters.items() if value is not None])
    settings = settings_from({"state_dir": state_dir, "config": config})
    report = with_access(settings, lambda files: files.usage(params), simulated=simulated)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    by = cast("list[str]", report["by"])
    total = cast("JSONObject", report["total"])
    lines = [*cast("list[JSONObject]", report["rows"]), {**total, **({by[0]: "total"} if by else {})}]
    columns = (*by, "runs", "input", "cache read", "cache write", "output", "cost")
    names = (*by, "runs", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    rows = [(*(str(line.get(name, "") or "-") for name in names), f"${line['cost']:.4f}") for line in lines]
    click.echo(_table(columns, rows))
    if not (simulated or total["runs"]):
        click.echo("No runs. Those of `dragoman serve --simulate` cost nothing: --simulated shows them.", err=True)


def _change_team(name: str, flags: Mapping[str, Any], *, create: bool, as_json: bool) -> None:
    changes, settings = _changes(flags, TeamChanges), settings_from(_settings(flags))
    team = with_access(settings, lambda files: files.changes.change_team(name, changes, create=create))
    _show(team_view(team), as_json=as_json)


_Changes = TypeVar("_Changes", bound=TeamChanges)


def _settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name: flags[name] for name in _FILES}


def _changes(flags: Mapping[str, Any], kind: type[_Changes]) -> _Changes:
    """Return the changes that flags ask for. `none` removes a value."""
    fields: dict[str, Any] = {}
    for name, value in flags.items():
        if name in _FILES or value is None or value == ():
            continue
        if value in {_NONE, (_NONE,)}:
            fields["model_limits" if name == "model_limit" else name] = None
        elif name == "model_limit":
            fields["model_limits"] = parse_model_limits(value)
        elif name in {"models", "upstreams"}:
            fields[name] = [part.strip() for part in value.split(",") if part.strip()]
        else:
            fields[name] = list(value) if isinstance(value, tuple) else value
    return msgspec.convert(fields, kind)


def _show_secret(view: JSONObject, secret: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({**view, "secret": secret}, indent=2))
        return
    _show(view, as_json=False)
    click.echo(f"\n  {secret}\n\nThis is the secret. It is shown only this once.")


def _show(view: JSONObject, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(view, indent=2))
        return
    facts: dict[str, str] = {
        "Name": str(view["name"]),
        **({"State": str(view["state"])} if "state" in view else {}),
        **({"Team": str(view["team"])} if view.get("team") else {}),
        "Limits": _limits_text(view),
        **{
            label: ", ".join(map(str, cast("list[object]", view[name])))
            for label, name in (("Models", "models"), ("Upstreams", "upstreams"), ("Keys", "keys"))
            if view.get(name)
        },
        **({"Expires": format_time(view["expires"])} if view.get("expires") else {}),
    }
    for secret in cast("list[JSONObject]", view.get("secrets") or []):
        until = f", valid until {format_time(secret['expires'])}" if secret["expires"] else ""
        facts[f"Secret {secret['prefix']}…"] = f"created {format_time(secret['created'])}{until}"
    width = max(map(len, facts)) + 2
    click.echo("\n".join(f"{label:<{width}}{text}" for label, text in facts.items()))
    if uses := cast("list[JSONObject]", view.get("use") or []):
        columns = ("scope", "unit", "limit", "used", "reserved", "left", "renewed")
        rows = [{**use, "renewed": _local_time(use["renewed"])} for use in uses]
        click.echo("\n" + _table(columns, [tuple(str(row[name] or "-") for name in columns) for row in rows]))


def _local_time(text: object) -> str | None:
    """Return an ISO 8601 time as all commands show times."""
    return format_time(datetime.fromisoformat(str(text)).timestamp()) if text else None


def _limits_text(view: JSONObject) -> str:
    parts = [f"{view[name]} {name}" for name in ("rpm", "tpm", "concurrency") if view.get(name)]
    parts += [str(budget) for budget in cast("list[str]", view["budget"])]
    for model, inner in cast("dict[str, JSONObject]", view.get("model_limits") or {}).items():
        parts.append(f"{model}: {_limits_text(inner)}")
    return ", ".join(parts) or "-"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [tuple(column.upper() for column in columns), *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
