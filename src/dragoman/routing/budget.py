"""What an account may spend in a day. Days are those of UTC."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import structlog

from dragoman.core.errors import StoreFailed
from dragoman.core.messages import JSONObject
from dragoman.stores.base import SpendingLedger

_WHOLE = Decimal("1e12")
"""A dollar, in the ledger's trillionths: the smallest price of a token is a few thousand of them."""
_CENT = Decimal("0.0001")

log = structlog.get_logger("dragoman.routing")


class Budget:
    """Dollars a day, counted to the last run that has ended, across restarts and processes.

    A run that has begun is never cut off for it, so those under way may go past it.

    Args:
        name: The account's.
        daily: Dollars.
        ledger: Where it is written down. Whoever made it closes it, after this.
        clock: Seconds since 1970.
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
        """Look up what was spent today already."""
        self._turn()
        try:
            self._spent = Decimal(await self._ledger.spent(self._name, self._day)) / _WHOLE
        except StoreFailed as error:
            log.warning("budget.unknown", upstream=self._name, error=str(error))

    async def aclose(self) -> None:
        """Finish what is being written."""
        if self._writes:
            await asyncio.wait(self._writes)

    @property
    def spent(self) -> Decimal:
        """Dollars, today."""
        self._turn()
        return self._spent

    @property
    def used_up(self) -> bool:
        """Whether nothing is left for today."""
        return self.spent >= self.daily

    @property
    def resets(self) -> datetime:
        """When the next day begins."""
        return datetime.combine(self._now().date() + timedelta(days=1), datetime.min.time(), UTC)

    @property
    def resets_in(self) -> float:
        """Seconds until then."""
        return self.resets.timestamp() - self._clock()

    async def spend(self, dollars: Decimal) -> None:
        """Take note of what a call cost. It counts at once; when this returns it is safe from a crash."""
        self._turn()
        self._spent += dollars
        write = asyncio.create_task(self._write(self._day, dollars), name="budget")
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        # Shielded: a run that is ended just now has cost what it cost.
        await asyncio.shield(write)

    def status(self) -> JSONObject:
        """For the operator."""
        spent = self.spent
        return {
            "daily_dollars": str(self.daily),
            "spent_dollars": str(spent.quantize(_CENT)),
            "left_dollars": str(max(Decimal(0), self.daily - spent).quantize(_CENT)),
            "resets": self.resets.isoformat(),
        }

    async def _write(self, day: str, dollars: Decimal) -> None:
        try:
            total = await self._ledger.add(self._name, day, int(dollars * _WHOLE))
        except StoreFailed as error:
            log.warning("budget.unwritten", upstream=self._name, dollars=str(dollars), error=str(error))
            return
        if day == self._day:
            # Never less than is known here: writes of other calls may be under way.
            self._spent = max(self._spent, Decimal(total) / _WHOLE)

    def _turn(self) -> None:
        day = self._now().date().isoformat()
        if day != self._day:
            self._day, self._spent = day, Decimal(0)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
