"""`/admin/keys`, `/admin/teams`, `/admin/audit` and `/admin/usage`."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from typing import TypeVar, cast, get_args

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from dragoman.config.values import point_in_time
from dragoman.core.errors import GatewayError, InvalidRequest, NotFound
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.shared.validation import parse_digits
from dragoman.limits.rules import NANODOLLARS, Rule, Scope, ScopeKind, Unit
from dragoman.limits.spec import dollars
from dragoman.limits.table import RuleState
from dragoman.runs.metering import Meter
from dragoman.server.access import AccessBook
from dragoman.server.admin.access_changes import (
    DEFAULT_GRACE,
    AccessChanges,
    KeyChanges,
    TeamChanges,
    key_view,
    parse_duration,
    team_view,
)
from dragoman.server.context import get_context
from dragoman.server.replies import json_response
from dragoman.stores.access import AccessStore
from dragoman.stores.ledger import Column, Ledger, LedgerFilter, LedgerSum

_COLUMNS: tuple[str, ...] = get_args(Column)
_MAX_BODY = 64 * 1024
_FILTERS = frozenset({"by", "since", "until", "key", "team", "model", "upstream"})
_OWN_FILTERS = frozenset({"by", "since", "until", "model"})
_OWN_COLUMNS = frozenset({"model", "day", "status"})
"""What a client may ask about its own key: not the names of teams and upstreams."""

_Changes = TypeVar("_Changes", bound=TeamChanges)


class AccessEndpoints:
    """The admin endpoints about keys, teams and what they use.

    Args:
        book: Keys and teams.
        meter: Limits and budgets; None: there are none.
        taken: Names of keys that the settings use.
        zone: The time zone of budgets.
    """

    def __init__(self, book: AccessBook, meter: Meter | None, taken: frozenset[str], zone: tzinfo) -> None:
        self._book = book
        self._meter = meter
        self._taken = taken
        self._zone = zone

    async def keys(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return all keys, without their secrets."""
        await self._book.refresh()
        now = time.time()
        return json_response({"keys": [key_view(key, now) for key in self._book.state.keys.values()]})

    async def create_key(self, request: Request) -> Response:
        """Create a key. The response contains its secret, which is shown this once."""
        name, changes = await _named(request, KeyChanges)
        key, secret = await self._changes().create_key(name, changes)
        await self._book.refresh()
        return json_response({**key_view(key, time.time()), "secret": secret}, 201)

    async def key(self, request: Request) -> Response:
        """Return one key, with what it has used."""
        await self._book.refresh()
        key = self._book.state.keys.get(request.path_params["name"])
        if key is None:
            raise NotFound(f"There is no key `{request.path_params['name'][:40]}`.")
        return json_response({**key_view(key, time.time()), "use": await self._use(Scope(ScopeKind.KEY, key.name))})

    async def update_key(self, request: Request) -> Response:
        """Change what a key may use."""
        changes = _decoded(await _body(request), KeyChanges)
        key = await self._changes().update_key(request.path_params["name"], changes)
        await self._book.refresh()
        return json_response(key_view(key, time.time()))

    async def rotate_key(self, request: Request) -> Response:
        """Give a key a new secret. The old one stays valid for the duration `grace`."""
        body = await _body(request)
        fields = msgspec.json.decode(body) if body else {}
        grace = fields.get("grace") if isinstance(fields, dict) else None
        seconds = DEFAULT_GRACE if grace is None else parse_duration(str(grace))
        key, secret = await self._changes().rotate_key(request.path_params["name"], seconds)
        await self._book.refresh()
        return json_response({**key_view(key, time.time()), "secret": secret})

    async def revoke_key(self, request: Request) -> Response:
        """Revoke a key for ever."""
        key = await self._changes().revoke_key(request.path_params["name"])
        await self._book.refresh()
        return json_response(key_view(key, time.time()))

    async def teams(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return all teams."""
        await self._book.refresh()
        return json_response({"teams": [team_view(team) for team in self._book.state.teams.values()]})

    async def create_team(self, request: Request) -> Response:
        """Create a team."""
        name, changes = await _named(request, TeamChanges)
        team = await self._changes().change_team(name, changes, create=True)
        await self._book.refresh()
        return json_response(team_view(team), 201)

    async def team(self, request: Request) -> Response:
        """Return one team, with its keys and what it has used."""
        await self._book.refresh()
        name = request.path_params["name"]
        team = self._book.state.teams.get(name)
        if team is None:
            raise NotFound(f"There is no team `{name[:40]}`.")
        keys: JSON = [key.name for key in self._book.state.keys.values() if key.team == name]
        return json_response({**team_view(team), "keys": keys, "use": await self._use(Scope(ScopeKind.TEAM, name))})

    async def update_team(self, request: Request) -> Response:
        """Change what a team may use."""
        changes = _decoded(await _body(request), TeamChanges)
        team = await self._changes().change_team(request.path_params["name"], changes, create=False)
        await self._book.refresh()
        return json_response(team_view(team))

    async def delete_team(self, request: Request) -> Response:
        """Delete a team that has no valid keys."""
        team = await self._changes().delete_team(request.path_params["name"])
        await self._book.refresh()
        return json_response(team_view(team))

    async def audit(self, request: Request) -> Response:
        """Return the newest changes of keys and teams."""
        limit = parse_digits(request.query_params.get("limit", "100"))
        if limit is None or not 1 <= limit <= 1000:  # noqa: PLR2004 - as the text says
            raise InvalidRequest("`limit` must be a number from 1 to 1000.", param="limit")
        entries = await self._store().audit(limit)
        return json_response({"entries": [cast("JSON", msgspec.to_builtins(entry)) for entry in entries]})

    async def limits(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return every limit and budget, and what is used of it."""
        return json_response({"limits": await self._use()})

    async def usage(self, request: Request) -> Response:
        """Return what runs have used and cost: sums of the ledger; and every limit and budget."""
        if self._meter is None:
            raise NotFound("This gateway has no ledger.")
        await self._meter.flush()
        report = await usage_report(self._meter.ledger, request.query_params)
        return json_response({**report, "limits": await self._use()})

    async def own_usage(self, request: Request) -> Response:
        """Return what the client's own key has used and cost, and its limits. It learns nothing of others."""
        params = request.query_params
        if refused := sorted(set(params) - _OWN_FILTERS):
            raise InvalidRequest(
                f"`{refused[0][:40]}` is not a parameter: {', '.join(sorted(_OWN_FILTERS))}.", param=refused[0][:40]
            )
        by = params.get("by", "model")
        if wrong := next((word for word in by.split(",") if word not in _OWN_COLUMNS), None):
            raise InvalidRequest(f"`{wrong[:40]}` is not a column: {', '.join(sorted(_OWN_COLUMNS))}.", param="by")
        if self._meter is None:
            raise NotFound("This gateway has no ledger.")
        client = get_context(request.scope).client
        await self._meter.flush()
        report = await usage_report(self._meter.ledger, QueryParams({**params, "by": by, "key": client}))
        return json_response({"key": client, **report, "limits": await self._use(Scope(ScopeKind.KEY, client))})

    def _store(self) -> AccessStore:
        if self._book.store is None:
            raise NotFound("This gateway stores no keys.")
        return self._book.store

    def _changes(self) -> AccessChanges:
        return AccessChanges(self._store(), "admin", self._taken)

    async def _use(self, scope: Scope | None = None) -> JSON:
        if self._meter is None:
            return []
        await self._meter.flush(everything=True)  # so that what is only borrowed does not look used
        return [state_view(state, self._zone) for state in await self._meter.states(scope)]


def state_view(state: RuleState, zone: tzinfo) -> JSONObject:
    """Return what is used of a limit or budget as JSON. Dollars are texts: `$1.50`."""
    rule = state.rule
    show: Callable[[int], JSON] = dollars if rule.unit is Unit.DOLLARS else int
    return {
        "scope": str(rule.scope),
        "unit": unit_name(rule),
        "limit": show(rule.amount),
        "used": show(state.used),
        "reserved": show(state.held),
        "left": show(state.remaining),
        "renewed": datetime.fromtimestamp(state.window.end, zone).isoformat() if state.window.end else None,
    }


def unit_name(rule: Rule) -> str:
    """Return what a rule counts, with its period: `requests/minute`, `dollars/month`, `runs`."""
    return f"{rule.unit}/{rule.period or 'minute'}" if rule.period or rule.is_rate else str(rule.unit)


async def usage_report(ledger: Ledger, params: QueryParams) -> JSONObject:
    """Return sums of the ledger as JSON.

    Raises:
        GatewayError: A parameter is invalid, or the ledger cannot be read.
    """
    if unknown := sorted(set(params) - _FILTERS):
        raise InvalidRequest(f"`{unknown[0]}` is not a parameter: {', '.join(sorted(_FILTERS))}.", param=unknown[0])
    by = [word for word in params.get("by", "key").split(",") if word]
    if wrong := next((word for word in by if word not in _COLUMNS), None):
        raise InvalidRequest(f"`{wrong[:40]}` is not a column: {', '.join(_COLUMNS)}.", param="by")
    names = {name: params[name] for name in ("key", "team", "model", "upstream") if name in params}
    filter_ = LedgerFilter(since=_moment(params, "since"), until=_moment(params, "until"), **names)
    columns = cast("Sequence[Column]", by)
    sums = await ledger.sums(filter_, columns)
    [total] = await ledger.sums(filter_, ())
    return {"by": cast("JSON", by), "rows": [_sum_view(one) for one in sums if by], "total": _sum_view(total)}


def _sum_view(one: LedgerSum) -> JSONObject:
    tokens = one.tokens
    return {
        **one.by,
        "runs": one.runs,
        "input_tokens": tokens.input,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_tokens": tokens.cache_write,
        "output_tokens": tokens.output,
        "cost": one.nanodollars / NANODOLLARS,
        "nanodollars": one.nanodollars,
    }


def _moment(params: QueryParams, name: str) -> float | None:
    text = params.get(name)
    if text is None:
        return None
    try:
        return time.time() - parse_duration(text)
    except GatewayError:
        pass
    try:
        return point_in_time(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param=name) from None


async def _named(request: Request, kind: type[_Changes]) -> tuple[str, _Changes]:
    """Return the name and the changes of a body that creates something."""
    raw = await _body(request)
    try:
        fields = msgspec.json.decode(raw or b"{}")
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error}.") from None
    name = fields.pop("name", None) if isinstance(fields, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest("`name` is missing.", param="name")
    return name, _decoded(msgspec.json.encode(fields), kind)


def _decoded(raw: bytes, kind: type[_Changes]) -> _Changes:
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is invalid: {error}.") from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY:
            raise InvalidRequest(f"The body is larger than {_MAX_BODY} bytes.")
    return bytes(body)
