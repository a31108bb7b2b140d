"""Records of runs, and the protocol of a store for them."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Protocol, cast

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.pricing import cost_of_calls, cost_parts
from dragoman.core.value_object import value_object

OPEN_STATUSES = ("queued", "running")
"""The statuses of runs that have not ended."""

INTERRUPTED = "interrupted"
"""The error code of runs whose gateway process ended without recording their end."""

_CACHE_DETAILS = {
    "first_turn": "This is the first turn of the conversation that this process has sent.",
    "account": "The turn before was sent to another upstream.",
    "model": "The turn before was sent to another model.",
    "tools": "The tools differ from those of the turn before.",
    "system": "The system prompt differs from that of the turn before.",
    "options": "An option that changes the prompt differs from that of the turn before.",
    "message": "An earlier message was changed or removed since the turn before.",
    "mark": "No cache mark of the client is at, or up to 20 blocks behind, the last mark of the turn before.",
    "expired": "The cached prompt was older than its lifetime.",
    "unknown": "Nothing has changed in what the gateway sent.",
}
"""What each reason of a cache miss means; see `dragoman.runs.prompt_parts.CacheUse`."""


@value_object(kw_only=True)
class RunRecord:
    """One run: its current state, or how it ended. Cheap to create: the cost is computed when it is read.

    Attributes:
        id: `run_` and 32 hexadecimal digits.
        request: The id of the request that started it.
        status: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        model: The id of the model.
        path: How the response is produced, as in the header `x-dragoman-path`.
        upstream: The name of the upstream.
        client: The name of the client's key.
        endpoint: The path of the request's URL.
        created: Seconds since 1970.
        ended: Seconds since 1970. None while it is open, and if its process ended without recording its end.
        stages: Seconds of each stage.
        usage: Tokens of the response, as the API counts them; an agent's response contains those of all its calls.
        calls: The usage of each API call, if there was more than one and they are known.
        error: The error code, if it failed.
        reason: Why it was ended from outside.
        warnings: What could not be done as requested, each with `code`, `param` and `detail`.
        cache: What was read from Claude's cache, and why not more: `reason`, `part`, `read`, `expected`, `age`.
        prompt: The request to the model, if content is stored.
        response: The message of the model, if content is stored.
    """

    id: str
    request: str | None
    status: str
    model: str
    path: str | None = None
    upstream: str | None = None
    client: str
    endpoint: str | None
    created: float
    ended: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    usage: Mapping[str, object] | None = None
    calls: tuple[Mapping[str, object], ...] = ()
    error: str | None = None
    reason: str | None = None
    warnings: tuple[Mapping[str, str], ...] = ()
    cache: Mapping[str, object] | None = None
    prompt: JSONObject | None = None
    response: JSONObject | None = None

    @property
    def cost(self) -> float | None:
        """Dollars. None if the API has counted no tokens."""
        return float(cost_of_calls(self.calls or (self.usage,), self.model)) if self.usage else None

    def cost_parts(self) -> dict[str, Decimal]:
        """Return dollars for each part, as `dragoman.core.pricing.cost_parts`; empty if no tokens were counted."""
        parts: dict[str, Decimal] = {}
        for usage in self.calls or ((self.usage,) if self.usage else ()):
            for name, dollars in cost_parts(usage, self.model).items():
                parts[name] = parts.get(name, Decimal(0)) + dollars
        return parts

    def summary(self) -> JSONObject:
        """Return the record as JSON, without prompt and response."""
        usage: JSON = None if self.usage is None else dict(self.usage)  # type: ignore[arg-type] # as the API sent it
        return {
            "id": self.id,
            "request_id": self.request,
            "status": self.status,
            "model": self.model,
            "path": self.path,
            "upstream": self.upstream,
            "client": self.client,
            "endpoint": self.endpoint,
            "created": self.created,
            "ended": self.ended,
            "stages": {name: round(seconds, 6) for name, seconds in self.stages.items()},
            "usage": usage,
            "cost": self.cost,
            "error": self.error,
            "reason": self.reason,
            "warnings": [dict(warning) for warning in self.warnings],
            "cache": _with_detail(self.cache) if self.cache else None,
        }


def _with_detail(cache: Mapping[str, object]) -> JSONObject:
    return {**cast("JSONObject", cache), "detail": _CACHE_DETAILS.get(str(cache.get("reason")))}


@value_object(kw_only=True)
class RunQuery:
    """A filter and a position in the list of runs, the newest first.

    Attributes:
        statuses: Only runs of these statuses. Empty: of any.
        model: Only runs whose model id contains this.
        client: Only runs of this client.
        since: Only runs created at this time or later, in seconds since 1970.
        after: Only runs behind the run of this id.
        limit: The maximum number of runs.
    """

    statuses: tuple[str, ...] = ()
    model: str | None = None
    client: str | None = None
    since: float | None = None
    after: str | None = None
    limit: int = 50

    def matches(self, record: RunRecord) -> bool:
        """Return whether a run passes the filter, regardless of the position."""
        return (
            (not self.statuses or record.status in self.statuses)
            and (self.model is None or self.model in record.model)
            and (self.client is None or self.client == record.client)
            and (self.since is None or record.created >= self.since)
        )


@value_object
class RunPage:
    """A part of the list of runs.

    Attributes:
        runs: The runs, the newest first.
        more: Whether more runs follow.
    """

    runs: Sequence[RunRecord]
    more: bool


class RunStore(Protocol):
    """Stores records of runs, for a limited time and up to a maximum number.

    Safe to use from many tasks, and from many processes if the implementation says so. A later call sees every record
    that was saved. An open run whose process is gone is returned as failed, with the error `interrupted`.

    Every method but `aclose` raises `StoreFailed` if the storage cannot be used.
    """

    async def save(self, records: Sequence[RunRecord]) -> None:
        """Store records, and replace those with the same ids. All or none. The oldest are deleted when it is full."""
        ...

    async def get(self, id_: str) -> RunRecord | None:
        """Return a record by its id, with prompt and response if they are stored."""
        ...

    async def page(self, query: RunQuery) -> RunPage | None:
        """Return records without prompt and response, or None if no run has the id `after`."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...
