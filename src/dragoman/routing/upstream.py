"""One upstream: a configured account, with what it serves, its slots, its health and its budget."""

import re
import sys
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase

from dragoman.backends.base import RunRequest
from dragoman.core.conversation import seed_of
from dragoman.core.errors import QuotaExceeded
from dragoman.core.messages import JSONObject
from dragoman.routing.budget import Budget
from dragoman.routing.circuit_breaker import CircuitBreaker
from dragoman.runs.admission import Limit
from dragoman.runs.executor import RunExecutor
from dragoman.runs.run import Run

_DATE = re.compile(r"-\d{8}$")


class Upstream:
    """One upstream, as the router sees it.

    Args:
        name: The name that the operator gave it.
        executor: Executes runs on its backend.
        order: Upstreams with a lower number come first. Upstreams with the same number share the conversations.
        models: Patterns of the ids of the models that it serves; empty: all models.
        clients: Names of the client keys that it serves; empty: all clients.
        slots: Runs at once; None: no limit of its own.
        budget: What it may spend in a day, if there is a limit.
        breaker: Decides how long it gets no runs after failures.
        agents: Whether it runs agents.
        upstreams_of: Returns the upstreams that a client's key names; empty: the key names none.
    """

    def __init__(  # noqa: PLR0913 - a value each
        self,
        name: str,
        executor: RunExecutor,
        *,
        order: int = 1,
        models: Sequence[str] = (),
        clients: Sequence[str] = (),
        slots: int | None = None,
        budget: Budget | None = None,
        breaker: CircuitBreaker | None = None,
        agents: bool = False,
        upstreams_of: Callable[[str], Collection[str]] = lambda _client: (),
    ) -> None:
        self.name = name
        self.seed = seed_of(name)
        self.backend = executor.backend
        self.order = order
        self.budget = budget
        self.agents = agents
        self.breaker = breaker or CircuitBreaker()
        self.limit = Limit(slots or sys.maxsize)
        self._executor = executor
        self._models = tuple(models)
        self._clients = frozenset(clients)
        self._upstreams_of = upstreams_of

    def serves(self, model: str) -> bool:
        """Return whether it serves a model."""
        return serves(self._models, model)

    def serves_client(self, client: str) -> bool:
        """Return whether it serves a client."""
        if named := self._upstreams_of(client):
            return self.name in named
        return not self._clients or client in self._clients

    @property
    def exhausted(self) -> bool:
        """Whether its budget is used up."""
        return self.budget is not None and self.budget.exhausted

    async def execute(self, request: RunRequest, run: Run) -> None:
        """Execute a run, once there is a free slot.

        Raises:
            GatewayError: There is no response, or only the beginning of one.
        """
        await run.acquire_slot(self.limit)
        try:
            await self._executor.execute(request, run)
        finally:
            run.release_slot()

    def not_ready(self) -> str | None:
        """Return why a run would fail here now, as a sentence for the operator; None if it would not."""
        if self.budget is not None and self.budget.exhausted:
            return f"its daily budget of ${self.budget.daily} is used up until {self.budget.resets:%Y-%m-%d %H:%M %Z}"
        return self.backend.ready()

    def status(self) -> JSONObject:
        """Return its state, its runs and the backend's status, for the operator."""
        reason, pause = self.not_ready(), self.breaker.remaining
        status: JSONObject = {
            "state": "budget_used" if self.exhausted else "not_ready" if reason else "resting" if pause else "ready",
            "reason": reason or self.breaker.reason,
            "rests_for_seconds": round(pause, 1) if pause else None,
            "failures": self.breaker.failures,
            "backend": self.backend.name,
            "order": self.order,
            "runs": {"running": self.limit.taken, "waiting": self.limit.waiting},
        }
        if self.budget is not None:
            status["budget"] = self.budget.status()
        return {**status, **self.backend.status()}


def serves(patterns: Sequence[str], model: str) -> bool:
    """Return whether a model's id matches one of the patterns. A pattern without a date also matches dated versions."""
    names = {model, _DATE.sub("", model)}
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def budget_error(upstreams: Sequence[Upstream]) -> QuotaExceeded:
    """Return the error for a client if the budgets of all these upstreams are used up."""
    budgets = [(upstream.name, upstream.budget) for upstream in upstreams if upstream.budget]
    used_up = " ".join(
        f"The daily budget of the upstream `{name}` (${budget.daily}) is used up." for name, budget in budgets
    )
    _, first = budgets[0]
    resets = f"It resets at {first.resets:%Y-%m-%d %H:%M %Z}."
    return QuotaExceeded(f"{used_up} {resets}", retry_after=first.resets_in)
