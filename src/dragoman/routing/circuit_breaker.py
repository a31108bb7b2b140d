"""A circuit breaker: how long an upstream that failed gets no runs."""

import time
from collections.abc import Callable

_FIRST_PAUSE = 5.0
_MAX_PAUSE = 600.0


class CircuitBreaker:
    """A pause that doubles with each failure in a row, and ends with the first success.

    Only runs that started after the last failure count. Runs that fail together count as one failure.

    Args:
        clock: Returns monotonic seconds.

    Attributes:
        failures: Failures in a row.
        reason: The code of the last failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures = 0
        self.reason: str | None = None
        self._clock = clock
        self._open_until = 0.0
        self._failed_at = float("-inf")

    @property
    def remaining(self) -> float:
        """Seconds until the pause ends; 0 if there is none."""
        return max(0.0, self._open_until - self._clock()) if self.failures else 0.0

    def now(self) -> float:
        """Return the time. Pass it to `record_failure` or `record_success` as the start of a run."""
        return self._clock()

    def record_failure(self, started_at: float, reason: str | None, retry_after: float | None) -> None:
        """Record that a run failed.

        Args:
            started_at: When the run started.
            reason: The code of its error.
            retry_after: Seconds for which the upstream wants no requests.
        """
        now = self._clock()
        if started_at >= self._failed_at:
            self.failures += 1
            self._failed_at = now
        pause = min(_FIRST_PAUSE * 2.0 ** (self.failures - 1), _MAX_PAUSE)
        self.reason = reason
        self._open_until = max(self._open_until, self._failed_at + pause, now + (retry_after or 0.0))

    def record_success(self, started_at: float) -> None:
        """Record that a run succeeded."""
        if self.failures and started_at >= self._failed_at:
            self.failures, self.reason, self._open_until = 0, None, 0.0
