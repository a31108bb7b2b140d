"""Whether a call is made again, and when."""

import random

from dragoman.backends.api.failures import Failure

LONGEST_WAIT = 60.0
"""Seconds. Who is asked to wait longer is told so at once, instead of being kept."""

_LONGEST_BACKOFF = 8.0


class Retries:
    """Counts the tries of one call.

    Args:
        most: Tries after the first.
        backoff: Seconds before the first of them, doubled each time; up to a quarter less, by chance, so that clients
            that failed together do not come back together.
    """

    def __init__(self, most: int, backoff: float) -> None:
        self.failed = 0
        self._most = most
        self._backoff = backoff

    def delay(self, failure: Failure) -> float | None:
        """Seconds until the next try; None where there is none."""
        self.failed += 1
        if not failure.passing or self.failed > self._most:
            return None
        if failure.retry_after is not None:
            return failure.retry_after if failure.retry_after <= LONGEST_WAIT else None
        usual: float = min(self._backoff * 2.0 ** (self.failed - 1), _LONGEST_BACKOFF)
        return usual * (1 - random.random() / 4)  # noqa: S311 - no secret
