"""Budgets of upstreams: what an account may spend in a day, in the time zone of the gateway's budgets."""

from datetime import datetime
from decimal import Decimal

from dragoman.backends.base import RunRequest
from dragoman.core import log
from dragoman.core.errors import StoreFailed
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import replace
from dragoman.limits.rules import NANODOLLARS, Period, Rule, Scope, ScopeKind, Unit
from dragoman.runs.metering import Meter
from dragoman.runs.run import Run

_CENT = Decimal("0.0001")


def upstream_rule(name: str, daily: Decimal) -> Rule:
    """Return the rule of an upstream's daily budget, in dollars."""
    return Rule(Scope(ScopeKind.UPSTREAM, name), Unit.DOLLARS, int(daily * NANODOLLARS), Period.DAY)


class Budget:
    """Dollars a day of one upstream. Every run on it counts, across restarts and processes.

    A run reserves what it may cost before it is sent, so runs under way never exceed the budget.

    Args:
        name: The upstream's name.
        daily: Dollars a day.
        meter: Decides, and records what runs cost.
    """

    def __init__(self, name: str, daily: Decimal, meter: Meter) -> None:
        self.daily = daily
        self._name = name
        self._rule = upstream_rule(name, daily)
        self._meter = meter

    async def start(self) -> None:
        """Read what was spent today."""
        try:
            await self._meter.look([self._rule])
        except StoreFailed as error:
            log.warning("budget.unknown", upstream=self._name, error=str(error))

    @property
    def spent(self) -> Decimal:
        """Dollars spent today, as far as this process knows."""
        return Decimal(self._meter.spent(self._rule)) / NANODOLLARS

    @property
    def exhausted(self) -> bool:
        """Whether nothing may be spent any more today."""
        return self.spent >= self.daily

    @property
    def resets(self) -> datetime:
        """When the next day begins."""
        return self._meter.renewal(self._rule)

    @property
    def resets_in(self) -> float:
        """Seconds until the next day begins."""
        return self.resets.timestamp() - self._meter.now()

    async def reserve(self, request: RunRequest, run: Run) -> RunRequest:
        """Reserve what a run may cost. Return its request, whose response may have a lower limit now.

        Raises:
            QuotaExceeded: The rest of the budget does not suffice.
            RateLimited: It does not until other runs end.
            StoreFailed: It is not known, because the ledger cannot be used.
        """
        if run.reservation is None:
            return request
        body, warnings = await self._meter.extend(
            run.reservation, self._rule, request.body, request.model, is_agent=request.calls is not None
        )
        run.add_warnings(warnings)
        return request if body is request.body else replace(request, body=body)

    def release(self, run: Run) -> None:
        """Release what a run has reserved that goes to another upstream."""
        if run.reservation is not None:
            self._meter.retract(run.reservation, self._rule)

    def status(self) -> JSONObject:
        """Return what was spent and what is left, for the operator."""
        spent = self.spent
        return {
            "daily_dollars": str(self.daily),
            "spent_dollars": str(spent.quantize(_CENT)),
            "left_dollars": str(max(Decimal(0), self.daily - spent).quantize(_CENT)),
            "resets": self.resets.isoformat(),
        }
