"""Budgets: what an upstream may spend in a day. Days are those of UTC."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog

from dragoman.backends.base import Backend, CountsTokens, ReportsStatus, RunRequest
from dragoman.core.accumulate import ApiCalls
from dragoman.core.errors import StoreFailed, UnsupportedFeature
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.pricing import cost_of_calls
from dragoman.core.supervise import failures_of
from dragoman.stores.base import SpendingLedger

_LEDGER_UNITS = Decimal("1e12")
"""The ledger counts trillionths of a dollar: the lowest price of a token is a few thousand of them."""
_CENT = Decimal("0.0001")

log = structlog.get_logger("dragoman.routing")


class Budget:
    """Dollars a day. Every run counts, across restarts and processes.

    A run that has begun is never stopped for the budget, so runs under way may exceed it.

    Args:
        name: The upstream's name.
        daily: Dollars a day.
        ledger: Stores what was spent. The caller closes it, after the budget.
        clock: Returns seconds since 1970.
    """

    def __init__(
        self, name: str, daily: Decimal, ledger: SpendingLedger, clock: Callable[[], float] = time.time
    ) -> None:
        self.daily = daily
        self._name = name
        self._ledger = ledger
        self._clock = clock
        self._day = ""
        self._spent = Decimal(0)
        self._writes: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Read what was spent today."""
        self._start_day()
        try:
            self._spent = Decimal(await self._ledger.spent(self._name, self._day)) / _LEDGER_UNITS
        except StoreFailed as error:
            log.warning("budget.unknown", upstream=self._name, error=str(error))

    async def aclose(self) -> None:
        """Wait for pending writes."""
        if self._writes:
            await asyncio.wait(self._writes)

    @property
    def spent(self) -> Decimal:
        """Dollars spent today."""
        self._start_day()
        return self._spent

    @property
    def exhausted(self) -> bool:
        """Whether nothing may be spent any more today."""
        return self.spent >= self.daily

    @property
    def resets(self) -> datetime:
        """When the next day begins."""
        return datetime.combine(self._now().date() + timedelta(days=1), datetime.min.time(), UTC)

    @property
    def resets_in(self) -> float:
        """Seconds until the next day begins."""
        return self.resets.timestamp() - self._clock()

    async def spend(self, dollars: Decimal) -> None:
        """Record the cost of a call. It counts at once, and is safe from a crash when this returns."""
        self._start_day()
        self._spent += dollars
        write = asyncio.create_task(self._write(self._day, dollars), name="budget")
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        # Shielded: the cost of a run that is cancelled now must be written, too.
        await asyncio.shield(write)

    def status(self) -> JSONObject:
        """Return what was spent and what is left, for the operator."""
        spent = self.spent
        return {
            "daily_dollars": str(self.daily),
            "spent_dollars": str(spent.quantize(_CENT)),
            "left_dollars": str(max(Decimal(0), self.daily - spent).quantize(_CENT)),
            "resets": self.resets.isoformat(),
        }

    async def _write(self, day: str, dollars: Decimal) -> None:
        try:
            total = await self._ledger.add(self._name, day, int(dollars * _LEDGER_UNITS))
        except StoreFailed as error:
            log.warning("budget.unwritten", upstream=self._name, dollars=str(dollars), error=str(error))
            return
        if day == self._day:
            # The total may not contain calls whose writes are still under way here.
            self._spent = max(self._spent, Decimal(total) / _LEDGER_UNITS)

    def _start_day(self) -> None:
        day = self._now().date().isoformat()
        if day != self._day:
            self._day, self._spent = day, Decimal(0)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


class BudgetedBackend:
    """A backend whose calls are charged to a budget.

    A call that fails or is cancelled is charged for what the API has reported until then.

    Args:
        backend: The backend.
        budget: The budget.
    """

    def __init__(self, backend: Backend, budget: Budget) -> None:
        self.name = backend.name
        self._backend = backend
        self._budget = budget

    async def start(self) -> None:
        """Read the budget, and start the backend."""
        await self._budget.start()
        await self._backend.start()

    async def aclose(self) -> None:
        """Close the backend, then write what its calls cost."""
        await self._backend.aclose()
        await self._budget.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Call the backend; see `dragoman.backends.base.Backend.run`."""
        calls = ApiCalls()  # several, if a response breaks off and starts again: both are paid for
        try:
            async with aclosing(self._backend.run(request)) as events:
                async for event in events:
                    calls.add(event)
                    yield event
        finally:
            if any(calls.usages):
                await self._budget.spend(cost_of_calls(calls.usages, request.model.id))

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the provider's count of a prompt's tokens. It costs nothing.

        Raises:
            UnsupportedFeature: The backend cannot count tokens.
        """
        if not isinstance(self._backend, CountsTokens):
            raise UnsupportedFeature(f"The backend `{self.name}` cannot count tokens.", code="cannot_count")
        return await self._backend.count_tokens(request)

    async def models(self) -> Sequence[ListedModel]:
        """Return the provider's list of models."""
        return await self._backend.models()

    async def inquire(self) -> JSONObject:
        """Return what the backend has to report in addition to `status`."""
        return await self._backend.inquire() if isinstance(self._backend, ReportsStatus) else {}

    def failures(self) -> Mapping[str, str]:
        """Return why the tasks of the backend failed; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_of(self._backend)

    def ready(self) -> str | None:
        """Return why a run would fail now; None if it would not."""
        return self._backend.ready()

    def status(self) -> JSONObject:
        """Return the backend's status."""
        return self._backend.status()
