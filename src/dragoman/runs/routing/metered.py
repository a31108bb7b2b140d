"""A backend whose calls are paid for out of a budget."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal

from dragoman.backends.base import Backend, CountsTokens, Inquires, RunRequest
from dragoman.errors import UnsupportedFeature
from dragoman.events import Event, MessageDelta, MessageStart
from dragoman.messages import JSON, JSONObject
from dragoman.model_list import ListedModel
from dragoman.prices import cost_of
from dragoman.runs.routing.budget import Budget


class Metered:
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
        return await self._backend.inquire() if isinstance(self._backend, Inquires) else {}

    def ready(self) -> str | None:
        """What the backend says."""
        return self._backend.ready()

    def status(self) -> JSONObject:
        """What the backend says."""
        return self._backend.status()


def _usage(holder: JSON) -> dict[str, JSON]:
    usage = holder.get("usage") if isinstance(holder, dict) else None
    return {key: value for key, value in usage.items() if value is not None} if isinstance(usage, dict) else {}
