"""Changes of keys and teams: what the admin API and the command line can ask for, checked and applied."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragoman.core.errors import Conflict, InvalidRequest, NotFound
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.limits.spec import Limits, check_budgets, parse_count
from dragoman.stores.access import (
    AccessStore,
    AuditEntry,
    KeyRecord,
    SecretRecord,
    TeamRecord,
    new_secret,
)

DEFAULT_GRACE = 86_400.0
"""Seconds for which the old secret of a rotated key stays valid."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_RESERVED = frozenset({"key", "local", "admin"})
_AGE = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_Count: TypeAlias = int | str | UnsetType | None
_T = TypeVar("_T")


class ModelChanges(Struct, forbid_unknown_fields=True):
    """Limits and budgets for one model."""

    rpm: int | str | None = None
    tpm: int | str | None = None
    concurrency: int | str | None = None
    budget: list[str] | str = []


class TeamChanges(Struct, forbid_unknown_fields=True):
    """What a team may use. A field that is missing stays as it is; null removes a limit.

    Attributes:
        rpm: Requests per minute; a number, or a text such as `200k`.
        tpm: Tokens per minute.
        concurrency: Runs at once.
        budget: Budgets such as `20usd/month`.
        model_limits: Limits and budgets for single models, in addition.
    """

    rpm: _Count = UNSET
    tpm: _Count = UNSET
    concurrency: _Count = UNSET
    budget: list[str] | str | UnsetType | None = UNSET
    model_limits: dict[str, ModelChanges] | UnsetType | None = UNSET


class KeyChanges(TeamChanges, forbid_unknown_fields=True):
    """What a key may use, in addition to the fields of a team.

    Attributes:
        team: The team, which must exist; null or "": none.
        models: The models that it may use; null: all.
        upstreams: The upstreams that it may use.
        agents: Whether it may start agents.
        expires: When it becomes invalid: a duration such as `90d`, a time in ISO 8601, or null for never.
    """

    team: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    upstreams: list[str] | UnsetType | None = UNSET
    agents: bool | UnsetType = UNSET
    expires: str | float | UnsetType | None = UNSET


@value_object
class AccessChanges:
    """Makes changes.

    Attributes:
        store: Where keys and teams are.
        actor: Who makes the changes, for the audit log.
        taken: Names of keys that the settings use.
    """

    store: AccessStore
    actor: str
    taken: frozenset[str] = frozenset()

    async def create_key(self, name: str, changes: KeyChanges) -> tuple[KeyRecord, str]:
        """Create a key.

        Returns:
            The key and its secret, which is not stored.

        Raises:
            InvalidRequest: A value is invalid.
            Conflict: There is, or was, a key of this name.
            NotFound: There is no such team.
        """
        _check_name(name)
        if name in self.taken:
            raise Conflict(f"The settings have a key `{name}`. Choose another name.")
        now = time.time()
        secret, stored = new_secret(now)

        def change(known: KeyRecord | None, teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:
            if known is not None:
                raise Conflict(f"There is, or was, a key `{name}`. Choose another name: the ledger knows keys by name.")
            record = _changed_key(KeyRecord(name=name, created=now, secrets=(stored,)), changes, teams, now)
            return record, self._entry("create", record, now)

        return await self.store.change_key(name, change), secret

    async def update_key(self, name: str, changes: KeyChanges) -> KeyRecord:
        """Change what a key may use.

        Raises:
            InvalidRequest: A value is invalid.
            Conflict: The key was revoked.
            NotFound: There is no such key or team.
        """
        now = time.time()

        def change(known: KeyRecord | None, teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:
            record = _changed_key(_usable(known, name), changes, teams, now)
            return record, self._entry("update", record, now)

        return await self.store.change_key(name, change)

    async def rotate_key(self, name: str, grace: float = DEFAULT_GRACE) -> tuple[KeyRecord, str]:
        """Give a key a new secret. The old ones stay valid for some seconds.

        Returns:
            The key and its new secret.

        Raises:
            Conflict: The key was revoked.
            NotFound: There is no such key.
        """
        now = time.time()
        secret, stored = new_secret(now)

        def change(known: KeyRecord | None, teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:  # noqa: ARG001 - the same for all
            key = _usable(known, name)
            old = (_ending(one, now + grace) for one in key.secrets if one.expires is None or one.expires > now)
            record = msgspec.structs.replace(key, secrets=(*old, stored))
            return record, self._entry("rotate", record, now)

        return await self.store.change_key(name, change), secret

    async def revoke_key(self, name: str) -> KeyRecord:
        """Revoke a key for ever. Idempotent.

        Raises:
            NotFound: There is no such key.
        """
        now = time.time()

        def change(known: KeyRecord | None, teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:  # noqa: ARG001 - the same for all
            key = _known(known, f"There is no key `{name[:40]}`.")
            record = key if key.revoked is not None else msgspec.structs.replace(key, revoked=now)
            return record, self._entry("revoke", record, now)

        return await self.store.change_key(name, change)

    async def change_team(self, name: str, changes: TeamChanges, *, create: bool) -> TeamRecord:
        """Create a team, or change what it may use.

        Raises:
            InvalidRequest: A value is invalid.
            Conflict: There is, or was, a team of this name.
            NotFound: There is no such team.
        """
        _check_name(name)
        now = time.time()

        def change(known: TeamRecord | None, keys: Mapping[str, KeyRecord]) -> tuple[TeamRecord, AuditEntry]:  # noqa: ARG001 - the same for all
            if create and known is not None:
                raise Conflict(f"There is, or was, a team `{name}`. Choose another name.")
            team = TeamRecord(name=name, created=now) if create else _existing(known, name)
            record = msgspec.structs.replace(team, limits=_changed_limits(team.limits, changes))
            return record, self._entry("create" if create else "update", record, now)

        return await self.store.change_team(name, change)

    async def delete_team(self, name: str) -> TeamRecord:
        """Delete a team that has no valid keys.

        Raises:
            Conflict: Keys belong to it.
            NotFound: There is no such team.
        """
        now = time.time()

        def change(known: TeamRecord | None, keys: Mapping[str, KeyRecord]) -> tuple[TeamRecord, AuditEntry]:
            team = _existing(known, name)
            if member := next((key.name for key in keys.values() if key.team == name and key.revoked is None), None):
                raise Conflict(f"The key `{member}` belongs to the team `{name}`. Revoke it or move it first.")
            record = msgspec.structs.replace(team, deleted=now)
            return record, self._entry("delete", record, now)

        return await self.store.change_team(name, change)

    def _entry(self, action: str, record: KeyRecord | TeamRecord, now: float) -> AuditEntry:
        is_key = isinstance(record, KeyRecord)
        view = key_view(record, now) if isinstance(record, KeyRecord) else team_view(record)
        kind = "key" if is_key else "team"
        return AuditEntry(at=now, actor=self.actor, action=action, kind=kind, name=record.name, detail=view)


def key_view(key: KeyRecord, now: float) -> JSONObject:
    """Return a key as JSON, without its secrets' hashes."""
    return {
        "name": key.name,
        "state": key.state(now),
        "team": key.team or None,
        **limits_view(key.limits),
        "models": list(key.models),
        "upstreams": list(key.upstreams),
        "agents": key.agents,
        "created": key.created,
        "expires": key.expires,
        "revoked": key.revoked,
        "secrets": [
            {"prefix": secret.prefix, "created": secret.created, "expires": secret.expires}
            for secret in key.secrets
            if secret.expires is None or secret.expires > now
        ],
    }


def team_view(team: TeamRecord) -> JSONObject:
    """Return a team as JSON."""
    return {"name": team.name, **limits_view(team.limits), "created": team.created, "deleted": team.deleted}


def limits_view(limits: Limits) -> JSONObject:
    """Return limits as JSON, in the names of `TeamChanges`."""
    view: JSONObject = {
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "concurrency": limits.concurrency,
        "budget": list(limits.budgets),
    }
    if limits.models:
        view["model_limits"] = {name: limits_view(inner) for name, inner in limits.models.items()}
    return view


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `90d` or `12h`.

    Raises:
        InvalidRequest: The text is not a duration.
    """
    if (match := _AGE.fullmatch(text.strip())) is None:
        raise InvalidRequest(f"`{text[:40]}` is not a duration: write 30m, 12h, 90d or 4w.")
    return float(int(match[1]) * _SECONDS[match[2]])


def _changed_key(key: KeyRecord, changes: KeyChanges, teams: Mapping[str, TeamRecord], now: float) -> KeyRecord:
    team = _given(changes.team, key.team) or ""
    if team and changes.team is not UNSET:
        _existing(teams.get(team), team)
    return msgspec.structs.replace(
        key,
        team=team,
        limits=_changed_limits(key.limits, changes),
        models=_names(changes.models, key.models),
        upstreams=_names(changes.upstreams, key.upstreams),
        agents=_given(changes.agents, key.agents),
        expires=key.expires if isinstance(changes.expires, UnsetType) else _time(changes.expires, now),
    )


def _changed_limits(limits: Limits, changes: TeamChanges) -> Limits:
    budgets, models = changes.budget, changes.model_limits
    return Limits(
        rpm=_count(changes.rpm, limits.rpm, "rpm"),
        tpm=_count(changes.tpm, limits.tpm, "tpm"),
        concurrency=_count(changes.concurrency, limits.concurrency, "concurrency"),
        budgets=limits.budgets if isinstance(budgets, UnsetType) else _budgets(budgets),
        models=limits.models
        if isinstance(models, UnsetType)
        else {name: _model_limits(inner) for name, inner in (models or {}).items()},
    )


def _model_limits(changes: ModelChanges) -> Limits:
    return Limits(
        rpm=_count(changes.rpm, None, "rpm"),
        tpm=_count(changes.tpm, None, "tpm"),
        concurrency=_count(changes.concurrency, None, "concurrency"),
        budgets=_budgets(changes.budget),
    )


def _budgets(texts: list[str] | str | None) -> tuple[str, ...]:
    listed = texts.split(",") if isinstance(texts, str) else texts or []
    try:
        return check_budgets(tuple(text.strip() for text in listed if text.strip()))
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param="budget") from None


def _count(value: _Count, known: int | None, param: str) -> int | None:
    if isinstance(value, UnsetType):
        return known
    try:
        return None if value is None else parse_count(str(value))
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param=param) from None


def _time(value: str | float | None, now: float) -> float | None:
    """Return a time in seconds since 1970, from a duration, a time in ISO 8601, or seconds."""
    if value is None or isinstance(value, (int, float)):
        return value
    if _AGE.fullmatch(value.strip()):
        return now + parse_duration(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidRequest(
            f"`{value[:40]}` is neither a duration such as 90d nor a time such as 2027-01-31T12:00.", param="expires"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _names(value: list[str] | UnsetType | None, known: tuple[str, ...]) -> tuple[str, ...]:
    return known if isinstance(value, UnsetType) else tuple(value or ())


def _given(value: _T | UnsetType, known: _T) -> _T:
    return known if isinstance(value, UnsetType) else value


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "A name has up to 40 letters, digits, dots, hyphens and underscores, and begins with a letter or digit.",
            param="name",
        )
    if name in _RESERVED:
        raise InvalidRequest(f"`{name}` is a name of the gateway's own. Choose another one.", param="name")


def _usable(key: KeyRecord | None, name: str) -> KeyRecord:
    key = _known(key, f"There is no key `{name[:40]}`.")
    if key.revoked is not None:
        raise Conflict(f"The key `{name}` was revoked. Create another one.")
    return key


def _existing(team: TeamRecord | None, name: str) -> TeamRecord:
    return _known(
        team if team and team.deleted is None else None,
        f"There is no team `{name[:40]}`. Create it: `dragoman teams create {name[:40]}`.",
    )


def _known(record: _T | None, message: str) -> _T:
    if record is None:
        raise NotFound(message)
    return record


def _ending(secret: SecretRecord, at: float) -> SecretRecord:
    return msgspec.structs.replace(secret, expires=at if secret.expires is None else min(secret.expires, at))
