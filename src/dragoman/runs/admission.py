"""Who may run now, who waits, and who is turned away."""

import asyncio
from collections import deque

from dragoman.core.errors import QueueFull, RateLimited

_SMOOTHING = 0.2


class Slot:
    """A run's claim to a place, from the moment it is admitted to the queue until it leaves.

    The claim belongs to the run: whoever ends the run calls `leave`, also while it still waits.
    """

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.since: float | None = None

    async def wait(self) -> None:
        """Return once the place is ours."""
        if not self.granted.done():
            await asyncio.shield(self.granted)

    def leave(self) -> None:
        """Give the place, or the place in the queue, back. Idempotent."""
        self._admission.release(self)


class Admission:
    """A number of places and a bounded queue before them, first come first served.

    Attributes:
        places: Runs at once.
        queue_size: Runs that may wait.
    """

    def __init__(self, places: int, queue_size: int) -> None:
        self.places = places
        self.queue_size = queue_size
        self._holding: set[Slot] = set()
        self._waiting: deque[Slot] = deque()
        self._usual_seconds = 1.0

    @property
    def running(self) -> int:
        """How many places are taken."""
        return len(self._holding)

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def enter(self) -> Slot:
        """Take a place, or one in the queue.

        Raises:
            QueueFull: Both are full; `retry_after` says when a place should be free.
        """
        self.require(1)
        ticket = Slot(self)
        if len(self._holding) < self.places:
            self._grant(ticket)
        else:
            self._waiting.append(ticket)
        return ticket

    def require(self, count: int) -> None:
        """Make sure that so many can enter now, one after the other.

        Raises:
            QueueFull: They cannot; `retry_after` says when there should be room.
        """
        missing = len(self._holding) + len(self._waiting) + count - self.places - self.queue_size
        if missing > 0:
            wanted = "" if count == 1 else f", and this one asks for {count} answers"
            raise QueueFull(
                f"{self.running} of {self.places} places are taken and {self.queued} requests wait already{wanted}.",
                retry_after=self._usual_seconds * (self.queued + missing) / self.places,
            )

    def release(self, ticket: Slot) -> None:
        """End a ticket, whatever its state, and let the next in."""
        if ticket in self._holding:
            self._holding.remove(ticket)
            self._learn(ticket)
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        while self._waiting and len(self._holding) < self.places:
            self._grant(self._waiting.popleft())

    def _grant(self, ticket: Slot) -> None:
        self._holding.add(ticket)
        ticket.since = asyncio.get_running_loop().time()
        ticket.granted.set_result(None)

    def _learn(self, ticket: Slot) -> None:
        """Remember how long a place is usually kept, for `retry_after`."""
        if ticket.since is not None:
            seconds = asyncio.get_running_loop().time() - ticket.since
            self._usual_seconds += _SMOOTHING * (seconds - self._usual_seconds)


class RateLimit:
    """Requests a minute, as a bucket that refills steadily.

    Attributes:
        per_minute: The bucket's size and its refill in 60 seconds; None: no limit.
    """

    def __init__(self, per_minute: int | None) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute or 0)
        self._at: float | None = None

    def take(self, now: float, count: int = 1) -> None:
        """Count requests at `now` (seconds of a monotonic clock): all of them or, where it raises, none.

        More than fit the bucket are let in when it is full: they could never come otherwise.

        Raises:
            RateLimited: The bucket is empty; `retry_after` says until when.
        """
        if self.per_minute is not None:
            self.require(now, count)
            self._tokens -= min(count, self.per_minute)

    def require(self, now: float, count: int = 1) -> None:
        """Make sure that so many could be counted.

        Raises:
            RateLimited: As `take` does.
        """
        if self.per_minute is None:
            return
        rate = self.per_minute / 60
        if self._at is not None:
            self._tokens = min(self.per_minute, self._tokens + (now - self._at) * rate)
        self._at = now
        wanted = min(count, self.per_minute)
        if self._tokens < wanted:
            wait = (wanted - self._tokens) / rate
            raise RateLimited(f"More than {self.per_minute} requests a minute.", retry_after=wait)

    @property
    def remaining(self) -> int | None:
        """Requests left in the bucket when it was last used; None without a limit."""
        return None if self.per_minute is None else int(self._tokens)
