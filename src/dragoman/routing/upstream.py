"""A backend whose calls are paid for out of a budget.

One of several accounts: what it serves, how it does, and what it may spend.
"""

import re
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal
from fnmatch import fnmatchcase

from dragoman.backends.base import Backend, CountsTokens, ReportsStatus, RunRequest
from dragoman.core.conversation import seed_of
from dragoman.core.errors import QuotaExceeded, UnsupportedFeature
from dragoman.core.events import Event, MessageDelta, MessageStart
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.pricing import cost_of
from dragoman.routing.budget import Budget
from dragoman.routing.circuit_breaker import CircuitBreaker
from dragoman.runs.admission import Admission
from dragoman.runs.executor import RunExecutor
from dragoman.runs.run import Run


class BudgetedBackend:
    """Counts what each call costs, also of one that fails or is ended early: as far as the API has told it by then.

    Args:
        backend: How Claude is asked.
        budget: What is spent from.
    """

    def __init__(self, backend: Backend, budget: Budget) -> None:
        self.name = backend.name
        self._backend = backend
        self._budget = budget

    async def start(self) -> None:
        """Get the backend ready, and know what was spent today."""
        await self._budget.start()
        await self._backend.start()

    async def aclose(self) -> None:
        """End what the backend holds, and write down what that has cost."""
        await self._backend.aclose()
        await self._budget.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask; see `dragoman.backends.base.Backend.run`."""
        cost, usage = Decimal(0), dict[str, JSON]()
        try:
            async with aclosing(self._backend.run(request)) as events:
                async for event in events:
                    if isinstance(event, MessageStart):
                        # A second one: the first answer broke off, and was paid for.
                        cost, usage = cost + cost_of(usage, request.model.id), _usage(event.raw.get("message"))
                    elif isinstance(event, MessageDelta):
                        usage |= _usage(event.raw)
                    yield event
        finally:
            if usage:
                await self._budget.spend(cost + cost_of(usage, request.model.id))

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The provider's own count, which costs nothing."""
        if not isinstance(self._backend, CountsTokens):
            raise UnsupportedFeature(f"The backend `{self.name}` cannot count tokens.", code="cannot_count")
        return await self._backend.count_tokens(request)

    async def models(self) -> Sequence[ListedModel]:
        """The provider's list."""
        return await self._backend.models()

    async def inquire(self) -> JSONObject:
        """What the backend says, if it has more to tell."""
        return await self._backend.inquire() if isinstance(self._backend, ReportsStatus) else {}

    def ready(self) -> str | None:
        """What the backend says."""
        return self._backend.ready()

    def status(self) -> JSONObject:
        """What the backend says."""
        return self._backend.status()


def _usage(holder: JSON) -> dict[str, JSON]:
    usage = holder.get("usage") if isinstance(holder, dict) else None
    return {key: value for key, value in usage.items() if value is not None} if isinstance(usage, dict) else {}


_DATE = re.compile(r"-\d{8}$")


def serves(patterns: Sequence[str], model: str) -> bool:
    """Whether a model is among those that patterns name; of its versions, those that have a date are meant, too."""
    names = {model, _DATE.sub("", model)}
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def over_budget(upstreams: "Sequence[Upstream]") -> QuotaExceeded:
    """What a client is told where the budgets of all of these are used up."""
    budgets = [(upstream.name, upstream.budget) for upstream in upstreams if upstream.budget]
    said = " ".join(
        f"The daily budget of the upstream `{name}` (${budget.daily}) is used up." for name, budget in budgets
    )
    _, first = budgets[0]
    resets = f"It starts anew at {first.resets:%Y-%m-%d %H:%M} UTC."
    return QuotaExceeded(f"{said} {resets}", retry_after=first.resets_in)


class Upstream:
    """An account, as the router sees it.

    Args:
        name: What the owner calls it.
        account: Asks.
        order: Those of a lower number are asked first; those of the same one share the conversations.
        models: Patterns of the ids of the models it serves; none: all.
        clients: Whom it serves; none: everybody.
        places: Runs at once; None: as many as there are.
        budget: What it may spend in a day, if there is a limit.
        rest: How long it is left alone after failures.
        agents: Whether agents are to be had of it.
    """

    def __init__(  # noqa: PLR0913 - a value each
        self,
        name: str,
        account: RunExecutor,
        *,
        order: int = 1,
        models: Sequence[str] = (),
        clients: Sequence[str] = (),
        places: int | None = None,
        budget: Budget | None = None,
        rest: CircuitBreaker | None = None,
        agents: bool = False,
    ) -> None:
        self.name = name
        self.seed = seed_of(name)
        self.account = account
        self.backend = account.backend
        self.order = order
        self.budget = budget
        self.agents = agents
        self.rest = rest or CircuitBreaker()
        self._models = tuple(models)
        self._clients = frozenset(clients)
        self._admission = Admission(places or sys.maxsize, sys.maxsize)

    def serves(self, model: str) -> bool:
        """Whether it may be asked for a model."""
        return serves(self._models, model)

    def is_for(self, client: str) -> bool:
        """Whether it may be asked by a client."""
        return not self._clients or client in self._clients

    @property
    def used_up(self) -> bool:
        """Whether it may spend nothing more today."""
        return self.budget is not None and self.budget.used_up

    @property
    def full(self) -> bool:
        """Whether a run would have to wait for a place."""
        return self._admission.running >= self._admission.places

    async def ask(self, request: RunRequest, run: Run) -> None:
        """Ask, once there is a place.

        Raises:
            QuotaExceeded: Nothing may be spent any more.
            GatewayError: There is no answer, or only the beginning of one.
        """
        ticket = self._admission.enter()
        try:
            if not ticket.granted.done():
                await ticket.wait()
            if self.used_up:  # by those that it waited for
                raise over_budget([self])
            await self.account.ask(request, run)
        finally:
            ticket.leave()

    def trouble(self) -> str | None:
        """Why a run would fail here now, for the operator."""
        if self.budget is not None and self.budget.used_up:
            return f"its daily budget of ${self.budget.daily} is used up until {self.budget.resets:%Y-%m-%d %H:%M} UTC"
        return self.backend.ready()

    def status(self) -> JSONObject:
        """For the operator."""
        trouble, rest = self.trouble(), self.rest.left
        status: JSONObject = {
            "state": "budget_used" if self.used_up else "not_ready" if trouble else "resting" if rest else "ready",
            "reason": trouble or self.rest.reason,
            "rests_for_seconds": round(rest, 1) if rest else None,
            "failures": self.rest.failures,
            "backend": self.backend.name,
            "order": self.order,
            "runs": {"running": self._admission.running, "waiting": self._admission.queued},
        }
        if self.budget is not None:
            status["budget"] = self.budget.status()
        return {**status, **self.backend.status()}
