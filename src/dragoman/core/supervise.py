"""Long-lived tasks that never end unseen: a task that fails is restarted, and readiness reports why it failed.

The owners of tasks satisfy `ReportsFailures`. `dragoman.wiring.gateway` asks them all for `GET /health/ready`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, runtime_checkable

from dragoman.core.errors import GatewayError


class SupervisedTask:
    """A task that is restarted with back-off when it raises. It ends when its work returns, or on `aclose`.

    Attributes:
        name: The task's name.
        error: What the work raised last. None before that, and after `recovered`.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        *,
        name: str,
        on_failure: Callable[[Exception, float], None],
        first_pause: float = 1.0,
        max_pause: float = 60.0,
    ) -> None:
        """Prepare the task. `start` starts it.

        Args:
            work: What the task does. Called again after each failure.
            name: The task's name, as `failure` and `failures` report it.
            on_failure: Called with each error and the seconds until the restart. Logs both.
            first_pause: Seconds until the first restart. Each further pause is twice as long.
            max_pause: Seconds of the longest pause.
        """
        self.error: Exception | None = None
        self._work = work
        self.name = name
        self._on_failure = on_failure
        self._first_pause = self._pause = first_pause
        self._max_pause = max_pause
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the work runs, or waits for its restart."""
        return self._task is not None and not self._task.done()

    @property
    def failure(self) -> str | None:
        """Why the work failed last, as a sentence for the operator; None if it did not, or recovered."""
        if self.error is None:
            return None
        if isinstance(self.error, GatewayError):
            return self.error.message
        return f"The task `{self.name}` failed and is restarted: {describe(self.error)}."

    def start(self) -> None:
        """Start the task. Do nothing while it runs."""
        if not self.running:
            self._task = asyncio.create_task(self._supervise(), name=self.name)

    def recovered(self) -> None:
        """Note that the work does what it should: forget the last failure, and begin again with the first pause."""
        self.error = None
        self._pause = self._first_pause

    async def aclose(self) -> None:
        """Cancel the task, and return when it is gone. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _supervise(self) -> None:
        while True:
            try:
                await self._work_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, the task must not end unseen
                self.error = error
                pause, self._pause = self._pause, min(2 * self._pause, self._max_pause)
                with contextlib.suppress(Exception):
                    self._on_failure(error, pause)
                error.__traceback__ = None  # it would keep the work's local variables alive
                await asyncio.sleep(pause)
            else:
                self.recovered()
                return

    async def _work_once(self) -> None:
        try:
            await self._work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The work awaited something that was cancelled. That is no order to end.
            raise RuntimeError("the work was cancelled by something it waited for") from None


@runtime_checkable
class ReportsFailures(Protocol):
    """An owner of supervised tasks."""

    def failures(self) -> Mapping[str, str]:
        """Return why tasks failed, by name. A task that did not fail, or has recovered, is not in it."""
        ...


def failures_in(*tasks: SupervisedTask) -> dict[str, str]:
    """Return the failures of these tasks; see `ReportsFailures`."""
    return {task.name: failure for task in tasks if (failure := task.failure) is not None}


def failures_of(*owners: object) -> dict[str, str]:
    """Return the failures that those of the owners report which own supervised tasks."""
    return {
        name: failure
        for owner in owners
        if isinstance(owner, ReportsFailures)
        for name, failure in owner.failures().items()
    }


def describe(error: Exception) -> str:
    """Return an error's type and text, without a file's path, which an error of the system carries."""
    text = (error.strerror or "") if isinstance(error, OSError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
