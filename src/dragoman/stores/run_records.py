"""What is kept of runs, and what a store of them promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.pricing import cost_of
from dragoman.core.value_object import value_object

OPEN_STATUSES = ("queued", "running")
"""The statuses of runs that have not ended."""

INTERRUPTED = "interrupted"
"""The error code of runs whose gateway ended without a word."""


@value_object(kw_only=True)
class RunRecord:
    """One run, as it stands or as it ended. It is cheap to make: the cost is reckoned where somebody asks for it.

    Attributes:
        id: `run_` and 32 hexadecimal digits.
        request: The id of the request that it answers.
        status: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        model: The model's id.
        path: How the answer is had.
        upstream: The account that is asked.
        client: Who asked.
        endpoint: The path that was asked.
        created: Seconds since 1970.
        ended: The same; None while it goes on, and where nobody saw the end.
        stages: Seconds of each stage.
        usage: Tokens, as the API counts them.
        error: The code of what it failed for.
        reason: Why it was ended from outside.
        prompt: What the model was asked, where that is kept.
        response: What it said, where that is kept.
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
    error: str | None = None
    reason: str | None = None
    prompt: JSONObject | None = None
    response: JSONObject | None = None

    @property
    def cost(self) -> float | None:
        """Dollars; None where the API has counted nothing."""
        return float(cost_of(self.usage, self.model)) if self.usage else None

    def summary(self) -> JSONObject:
        """As JSON, without what was asked and answered."""
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
            "usage": _plain(self.usage),
            "cost": self.cost,
            "error": self.error,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs are wanted, the newest first.

    Attributes:
        statuses: Those of these statuses; none: of any.
        model: Those whose model's id holds this.
        client: Those of this client.
        since: Those that were created then or later, in seconds since 1970.
        after: Those that come behind the run of this id.
        limit: The most.
    """

    statuses: tuple[str, ...] = ()
    model: str | None = None
    client: str | None = None
    since: float | None = None
    after: str | None = None
    limit: int = 50

    def matches(self, record: RunRecord) -> bool:
        """Whether a run is one of these, wherever the page begins."""
        return (
            (not self.statuses or record.status in self.statuses)
            and (self.model is None or self.model in record.model)
            and (self.client is None or self.client == record.client)
            and (self.since is None or record.created >= self.since)
        )


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, the newest first.

    Attributes:
        runs: They.
        more: Whether there are more behind them.
    """

    runs: Sequence[RunRecord]
    more: bool


class RunStore(Protocol):
    """Keeps records of runs for a time and up to a number.

    Safe to use from many tasks, and where the implementation says so from many processes. What was saved is there for
    every later call. A run that is open and whose process is gone is given as failed, with the error `interrupted`.

    Every method but `aclose` raises `StoreFailed` where the storage cannot be used.
    """

    async def save(self, records: Sequence[RunRecord]) -> None:
        """Keep records, in place of those with the same ids. All or none; the oldest go where there are too many."""
        ...

    async def get(self, id_: str) -> RunRecord | None:
        """A record by its id, with what was asked and answered where that is kept."""
        ...

    async def page(self, query: RunQuery) -> RunPage | None:
        """Records without what was asked and answered; None where there is no run of the id `after`."""
        ...

    async def aclose(self) -> None:
        """Let go of every file and connection. Idempotent; nothing may be called after it."""
        ...


def _plain(usage: Mapping[str, object] | None) -> JSON:
    return None if usage is None else dict(usage)  # type: ignore[arg-type]
