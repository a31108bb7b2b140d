"""The types of the bodies of `/admin/keys`, `/admin/teams`, `/admin/audit`, `/admin/limits` and `/admin/usage`."""

from msgspec import Struct

from dragoman.server.admin.access_changes import KeyChanges, TeamChanges
from dragoman.server.docs.schemas import JSONObject


class CreateKey(KeyChanges, kw_only=True):
    """A new key, and what it may use."""

    name: str


class CreateTeam(TeamChanges, kw_only=True):
    """A new team, and what its keys may use together."""

    name: str


class RotateKey(Struct):
    """For how long the old secret stays valid: `24h`, `7d`."""

    grace: str = "1d"


class LimitUse(Struct):
    """A limit or budget, and what is used of it. Dollars are texts."""

    scope: str
    unit: str
    limit: int | str
    used: int | str
    reserved: int | str
    left: int | str
    renewed: str | None


class LimitList(Struct):
    """All limits and budgets."""

    limits: list[LimitUse]


class Secret(Struct):
    """A valid secret of a key: its beginning."""

    prefix: str
    created: float
    expires: float | None


class Key(Struct, kw_only=True):
    """A client's key."""

    name: str
    state: str
    team: str | None
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    budget: list[str]
    model_limits: JSONObject = {}
    models: list[str]
    upstreams: list[str]
    agents: bool
    created: float
    expires: float | None
    revoked: float | None
    secrets: list[Secret]
    use: list[LimitUse] = []


class NewKey(Key, kw_only=True):
    """A key with its new secret."""

    secret: str


class KeyList(Struct):
    """All keys."""

    keys: list[Key]


class Team(Struct, kw_only=True):
    """A team."""

    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    budget: list[str]
    model_limits: JSONObject = {}
    created: float
    deleted: float | None
    keys: list[str] = []
    use: list[LimitUse] = []


class TeamList(Struct):
    """All teams."""

    teams: list[Team]


class AuditLog(Struct):
    """Changes of keys and teams."""

    entries: list[JSONObject]


class OwnUsage(Struct):
    """What the key of the request has used and cost, and its limits."""

    key: str
    by: list[str]
    rows: list[JSONObject]
    total: JSONObject
    limits: list[LimitUse]


class UsageReport(Struct):
    """Sums of what runs have used and cost, and every limit and budget."""

    by: list[str]
    rows: list[JSONObject]
    total: JSONObject
    limits: list[LimitUse]
