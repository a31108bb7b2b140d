"""A time limit that is moved with every part of a stream, and hardly ever reached."""

import asyncio
from collections.abc import Callable


class MovingTimer:
    """Calls a function when nothing has moved it for some time.

    Moving it is an assignment: the event loop has one timer, which looks at the limit when its time has come.

    Args:
        callback: The function. It is not called again before the next `start`.
    """

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    def start(self, seconds: float) -> None:
        """Start, or start again."""
        self._deadline = deadline = self._loop.time() + seconds
        if self._handle is not None and self._handle.when() > deadline:
            self._handle.cancel()
            self._handle = None
        if self._handle is None:
            self._handle = self._loop.call_at(deadline, self._check)

    def pause(self) -> None:
        """Stop until the next `start`."""
        self._deadline = None

    def cancel(self) -> None:
        """Stop, and leave nothing in the event loop. The owner calls it at the end."""
        self._deadline = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        self._handle = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._handle = self._loop.call_at(self._deadline, self._check)
        else:
            self._deadline = None
            self._callback()
