"""Admission of runs: slots, and the queue before them."""

import asyncio
import time
from bisect import insort
from itertools import count

from dragoman.core.errors import QueueFull

_SMOOTHING = 0.2
"""Weight of the newest run in the average duration."""


class Limit:
    """A number of slots that runs share: those of the gateway, or those of one upstream.

    Attributes:
        slots: Runs at once.
        taken: Slots that are taken.
        waiting: Runs that wait for a slot of this limit.
    """

    __slots__ = ("slots", "taken", "waiting")

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.taken = 0
        self.waiting = 0

    @property
    def full(self) -> bool:
        """Whether all slots are taken."""
        return self.taken >= self.slots


class Ticket:
    """A run's position in the queue, and the slots that it holds.

    A ticket either waits and holds no slot, or holds all the slots that it needs: one of the gateway's and, after
    `acquire`, one of an upstream's. So no run blocks a slot while it waits for another, and there is no deadlock.

    The ticket belongs to the run. Its owner calls `leave` when the run ends, also while the run still waits.
    """

    def __init__(self, admission: "Admission", number: int) -> None:
        self._admission = admission
        self._number = number
        self._granted: asyncio.Future[None] | None = None
        self.upstream: Limit | None = None
        self.granted_at: float | None = None

    def __lt__(self, other: "Ticket") -> bool:
        """Compare by arrival."""
        return self._number < other._number

    @property
    def granted(self) -> bool:
        """Whether the ticket holds its slots."""
        return self.granted_at is not None

    async def wait(self) -> None:
        """Wait until the ticket holds its slots."""
        if self.granted_at is None:
            self._granted = self._granted or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._granted)

    def acquire(self, limit: Limit) -> bool:
        """Take a slot of an upstream, too. The ticket must hold a slot of the gateway, and none of an upstream.

        If the slot is not free, or an older run waits for it, the ticket gives its slot back and returns to the queue,
        to its position by arrival.

        Returns:
            Whether the ticket holds both slots now. If not, `wait` returns when it does.
        """
        return self._admission.acquire(self, limit)

    def release_upstream(self) -> None:
        """Give the upstream's slot back, and keep the gateway's. Do nothing if the ticket holds none."""
        self._admission.release_upstream(self)

    def leave(self) -> None:
        """Give all slots, or the position in the queue, back. Idempotent."""
        self._admission.leave(self)

    def grant(self) -> None:
        """Note that the ticket holds its slots now. For `Admission` alone."""
        self.granted_at = time.monotonic()
        if self._granted is not None:
            self._granted.set_result(None)
            self._granted = None

    def requeue(self) -> None:
        """Note that the ticket waits again. For `Admission` alone."""
        self.granted_at = None


class Admission:
    """The gateway's slots and the queue before them, first come, first served.

    A run that waits for an upstream's slot lets younger runs for other upstreams pass. As soon as the slots that it
    needs are free, it is the first to get them.

    Attributes:
        queue_size: Runs that may wait when all slots are taken. Runs that wait for an upstream's slot while slots of
            the gateway are free count too: at most `slots + queue_size` runs are admitted in all.
    """

    def __init__(self, slots: int, queue_size: int) -> None:
        self.queue_size = queue_size
        self._limit = Limit(slots)
        self._waiting: list[Ticket] = []
        self._numbers = count()
        self._average_seconds = 1.0

    @property
    def slots(self) -> int:
        """Runs at once."""
        return self._limit.slots

    @property
    def running(self) -> int:
        """Runs that hold a slot."""
        return self._limit.taken

    @property
    def queued(self) -> int:
        """Runs that wait."""
        return len(self._waiting)

    def enter(self) -> Ticket:
        """Take a slot, or a position in the queue.

        Raises:
            QueueFull: All slots are taken and the queue is full. `retry_after` is when a slot should be free.
        """
        self.require(1)
        ticket = Ticket(self, next(self._numbers))
        if self._limit.full:
            self._waiting.append(ticket)
        else:
            self._grant(ticket)
        return ticket

    def require(self, count: int) -> None:
        """Check that a number of runs can enter now.

        Raises:
            QueueFull: They cannot. `retry_after` is when there should be room.
        """
        missing = self._limit.taken + len(self._waiting) + count - self._limit.slots - self.queue_size
        if missing > 0:
            detail = "" if count == 1 else f", and this request asks for {count} responses"
            raise QueueFull(
                f"{self.running} of {self.slots} slots are taken and {self.queued} requests are queued{detail}.",
                retry_after=self._average_seconds * (self.queued + missing) / self.slots,
            )

    def acquire(self, ticket: Ticket, limit: Limit) -> bool:
        """See `Ticket.acquire`."""
        ticket.upstream = limit
        if not limit.full and not limit.waiting:
            limit.taken += 1
            return True
        self._limit.taken -= 1
        limit.waiting += 1
        ticket.requeue()
        insort(self._waiting, ticket)
        self._grant_waiting()
        return ticket.granted

    def release_upstream(self, ticket: Ticket) -> None:
        """See `Ticket.release_upstream`."""
        limit = ticket.upstream
        if limit is not None and ticket.granted:
            limit.taken -= 1
            ticket.upstream = None
            self._grant_waiting()

    def leave(self, ticket: Ticket) -> None:
        """See `Ticket.leave`."""
        if ticket.granted_at is not None:
            seconds = time.monotonic() - ticket.granted_at
            self._average_seconds += _SMOOTHING * (seconds - self._average_seconds)
            self._limit.taken -= 1
            if ticket.upstream is not None:
                ticket.upstream.taken -= 1
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
            if ticket.upstream is not None:
                ticket.upstream.waiting -= 1
        ticket.granted_at, ticket.upstream = None, None
        self._grant_waiting()

    def _grant_waiting(self) -> None:
        """Grant slots to those that wait for them, the oldest first."""
        waiting, self._waiting = self._waiting, []
        for index, ticket in enumerate(waiting):
            if self._limit.full:
                self._waiting += waiting[index:]
                return
            if ticket.upstream is None:
                self._grant(ticket)
            elif ticket.upstream.full:
                self._waiting.append(ticket)
            else:
                ticket.upstream.waiting -= 1
                ticket.upstream.taken += 1
                self._grant(ticket)

    def _grant(self, ticket: Ticket) -> None:
        self._limit.taken += 1
        ticket.grant()
