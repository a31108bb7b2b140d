"""How long an account that failed is left alone."""

import time
from collections.abc import Callable

_FIRST = 5.0
_LONGEST = 600.0


class CircuitBreaker:
    """Grows with each failure in a row, and ends with the first success.

    Runs that were under way when the account failed say nothing new: many that fail together count as one.

    Args:
        clock: Seconds that only grow.

    Attributes:
        failures: In a row.
        reason: The code of the last of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        self.reason: str | None = None
        self._clock = clock
        self._until = 0.0
        self._failed_at = float("-inf")

    @property
    def left(self) -> float:
        """Seconds that it goes on for; 0: it is over."""
        return max(0.0, self._until - self._clock()) if self.failures else 0.0

    def now(self) -> float:
        """The time, to tell later when a run began."""
        return self._clock()

    def failed(self, began: float, reason: str | None, retry_after: float | None) -> None:
        """Take note of a failure.

        Args:
            began: When its run did.
            reason: Its code.
            retry_after: Seconds that the account asked to be left alone.
        """
        now = self._clock()
        if began >= self._failed_at:
            self.failures += 1
            self._failed_at = now
        usual = min(_FIRST * 2.0 ** (self.failures - 1), _LONGEST)
        self.reason = reason
        self._until = max(self._until, self._failed_at + usual, now + (retry_after or 0.0))

    def worked(self, began: float) -> None:
        """Take note of an answer."""
        if self.failures and began >= self._failed_at:
            self.failures, self.reason, self._until = 0, None, 0.0
