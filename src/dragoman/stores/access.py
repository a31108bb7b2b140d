"""Client keys, teams and the audit log: their records, and the protocol of a store for them."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from math import inf
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from dragoman.core.value_object import value_object
from dragoman.limits.spec import NO_LIMITS, Limits

_PREFIX = "sk-dragoman-"
_VISIBLE = len(_PREFIX) + 6
"""Characters of a secret that are shown, so that people can tell secrets apart."""


class SecretRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One secret of a key. The secret is not stored: only its hash is.

    Attributes:
        sha256: The hash, in hexadecimal digits. A secret has 256 random bits, so no slow hash is needed.
        prefix: The beginning of the secret.
        created: Seconds since 1970.
        expires: When it becomes invalid; None: with its key.
    """

    sha256: str
    prefix: str
    created: float
    expires: float | None = None


class KeyRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A client's key.

    Attributes:
        name: The client's name, in records and in the ledger. It is never used again for another key.
        team: The name of its team; "" if it has none.
        limits: Its limits and budgets.
        models: The models that it may use: names, aliases or patterns; empty: all.
        upstreams: The upstreams that it may use; empty: those that serve every client.
        agents: Whether it may start agents.
        created: Seconds since 1970.
        expires: When it becomes invalid; None: never.
        revoked: When it was revoked; None: it was not.
        secrets: Its secrets. During a rotation there are two.
    """

    name: str
    team: str = ""
    limits: Limits = NO_LIMITS
    models: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    agents: bool = True
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    secrets: tuple[SecretRecord, ...] = ()

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        """Return whether the key can be used."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    def valid_until(self, sha256: str) -> float:
        """Return when a secret of this key expires, in seconds since 1970; infinity: never."""
        ends = [self.expires, *(secret.expires for secret in self.secrets if secret.sha256 == sha256)]
        return min((end for end in ends if end is not None), default=inf)


class TeamRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A team: keys that share limits and budgets.

    Attributes:
        name: The name. It is never used again for another team.
        limits: What its keys may use together.
        created: Seconds since 1970.
        deleted: When it was deleted; None: it was not.
    """

    name: str
    limits: Limits = NO_LIMITS
    created: float = 0.0
    deleted: float | None = None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        at: Seconds since 1970.
        actor: Who made it: `cli:NAME`, or `admin` for the admin API.
        action: `create`, `update`, `rotate`, `revoke` or `delete`.
        kind: `key` or `team`.
        name: The name of what was changed.
        detail: The new values. Contains no secret and no hash.
    """

    at: float
    actor: str
    action: str
    kind: str
    name: str
    detail: Mapping[str, object]


ChangeKey: TypeAlias = Callable[[KeyRecord | None, Mapping[str, TeamRecord]], tuple[KeyRecord, AuditEntry]]
"""Returns the new record for the stored one, given all teams. It may be called in another thread, and may raise."""

ChangeTeam: TypeAlias = Callable[[TeamRecord | None, Mapping[str, KeyRecord]], tuple[TeamRecord, AuditEntry]]
"""The same for a team, given all keys."""


@value_object
class AccessState:
    """All keys and teams.

    Attributes:
        version: Grows with every change.
        keys: The keys, by name.
        teams: The teams, by name.
    """

    version: int = 0
    keys: Mapping[str, KeyRecord] = field(default_factory=dict)
    teams: Mapping[str, TeamRecord] = field(default_factory=dict)


class AccessStore(Protocol):
    """Stores keys and teams, and every change of them in an append-only log.

    Safe to use from many tasks, and from many processes if the implementation says so. A change and its entry in the
    log are stored together or not at all, and are visible to every later call.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def version(self) -> int:
        """Return a number that grows with every change. Cheap: it is called several times a second."""
        ...

    async def load(self) -> AccessState:
        """Return everything."""
        ...

    async def change_key(self, name: str, change: ChangeKey) -> KeyRecord:
        """Replace the record of a key, with no other change between reading and writing."""
        ...

    async def change_team(self, name: str, change: ChangeTeam) -> TeamRecord:
        """Replace the record of a team in the same way."""
        ...

    async def audit(self, limit: int) -> Sequence[AuditEntry]:
        """Return the newest entries of the log, the newest first."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...


def new_secret(now: float) -> tuple[str, SecretRecord]:
    """Return a new secret and its record."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, SecretRecord(sha256=hash_of(secret.encode()), prefix=secret[:_VISIBLE], created=now)


def hash_of(secret: bytes) -> str:
    """Return the hash of a secret as it is stored."""
    return hashlib.sha256(secret).hexdigest()
