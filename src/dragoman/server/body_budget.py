"""The memory of large request bodies: how many are handled at once, and decoding that does not block the event loop.

Small bodies take no part in this: they cost no task, no thread and no lock.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from dragoman.core.errors import Overloaded
from dragoman.core.long_steps import let_others_run

LARGE_BODY = 128 * 1024
"""Bytes. A body up to this size is decoded on the event loop, in some milliseconds, and needs no reservation."""

COPIES = 3
"""How often a body is in memory: as it came, decoded, and encoded for Claude."""

_MAX_WAITING = 100
_MAX_WAIT = 60.0
_RETRY_AFTER = 10.0

_T = TypeVar("_T")


class Reservation:
    """The memory that one large request may use.

    The request releases it at its end. If a task outlives the request and uses its body, `hold_until` delays that.
    """

    def __init__(self, budget: "BodyBudget", amount: int) -> None:
        self._budget = budget
        self._amount = amount
        self._outliving_task: asyncio.Task[None] | None = None

    def resize(self, size: int) -> None:
        """Release what a body of `size` bytes does not need, once its size is known."""
        needed = min(self._amount, size * COPIES)
        self._budget.free(self._amount - needed)
        self._amount = needed

    def hold_until(self, task: "asyncio.Task[None]") -> None:
        """Keep the memory until a task ends, also if the request ends before."""
        self._outliving_task = task

    def release(self) -> None:
        """Give the memory back. Idempotent."""
        if self._outliving_task is not None and not self._outliving_task.done():
            self._outliving_task.add_done_callback(lambda _: self.resize(0))
        else:
            self.resize(0)


class BodyBudget:
    """The memory for all large request bodies together, and the work on them.

    A body counts `COPIES` times its size, from its first bytes until its response is complete. One that does not fit
    waits, and is not read meanwhile. A body that is larger than the whole budget is handled alone.

    Args:
        limit: The budget in bytes.
        max_waiting: Requests that may wait.
        max_wait: Seconds that a request may wait.
    """

    def __init__(self, limit: int, *, max_waiting: int = _MAX_WAITING, max_wait: float = _MAX_WAIT) -> None:
        self._limit = limit
        self._max_waiting = max_waiting
        self._max_wait = max_wait
        self._used = 0
        self._waiting: dict[asyncio.Future[None], int] = {}  # by arrival
        self._work = asyncio.Lock()

    @property
    def used(self) -> int:
        """Bytes that are reserved."""
        return self._used

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def reserve(self, size: int) -> Reservation:
        """Reserve memory for a body of `size` bytes, or of at most that size. Wait until there is enough.

        A body that fits passes those that wait for more.

        Raises:
            Overloaded: Too many requests wait, or this one waited too long.
        """
        amount = min(size * COPIES, self._limit)
        if self._used + amount > self._limit:
            await self._wait(amount)
        else:
            self._used += amount
        return Reservation(self, amount)

    def free(self, amount: int) -> None:
        """Take back a part of a reservation, and admit the requests that fit now. For `Reservation` alone."""
        self._used -= amount
        for granted, amount_needed in list(self._waiting.items()):
            if self._used + amount_needed <= self._limit and not granted.done():
                self._used += amount_needed
                granted.set_result(None)

    async def run(self, size: int, function: Callable[[], _T]) -> _T:
        """Return what a function makes of a body of `size` bytes.

        For a large body, it runs in a thread: the interpreter switches to the event loop every few milliseconds. One
        such function runs at a time, or several would delay the loop several times as long.
        """
        if size <= LARGE_BODY:
            return function()
        async with self._work:
            return await asyncio.to_thread(_as_step, size, function)

    async def _wait(self, amount: int) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise _too_many_bytes()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[granted] = amount
        try:
            async with asyncio.timeout(self._max_wait):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self.free(amount)
            if isinstance(error, TimeoutError):
                raise _too_many_bytes() from None
            raise
        finally:
            del self._waiting[granted]


def _as_step(size: int, function: Callable[[], _T]) -> _T:
    try:
        return function()
    finally:
        let_others_run(size)


def _too_many_bytes() -> Overloaded:
    return Overloaded(
        "The gateway handles other large requests, and has no memory for this one (--max-body-memory). Try again "
        "later.",
        retry_after=_RETRY_AFTER,
    )
