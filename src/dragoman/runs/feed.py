"""A feed of runs: which of them have changed, for lists that show runs as they come."""

import asyncio

from dragoman.runs.run import Run

MAX_WAITING_RUNS = 1000
"""Changed runs that a reader may leave waiting. What is beyond them is counted, and not kept."""


class RunFeed:
    """The runs that were created or changed their status since its reader last looked.

    A run that changed several times is kept once. A slow reader misses runs instead of using memory.

    Attributes:
        ended: Whether no more runs will come: the gateway stops.
    """

    def __init__(self) -> None:
        self._changed: dict[str, Run] = {}
        self._missed = 0
        self.ended = False
        self._event = asyncio.Event()

    def add(self, run: Run) -> None:
        """Note that a run has changed."""
        if len(self._changed) < MAX_WAITING_RUNS or run.id in self._changed:
            self._changed[run.id] = run
        else:
            self._missed += 1
        self._event.set()

    def end(self) -> None:
        """Tell the reader that no more runs will come."""
        self.ended = True
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, at most this long. Return whether there is one."""
        try:
            async with asyncio.timeout(seconds):
                return await self._event.wait()
        except TimeoutError:
            return False

    def take(self) -> tuple[list[Run], int]:
        """Return the runs that have changed since the last call, and how many changes were missed."""
        self._event.clear()
        changed, self._changed = [*self._changed.values()], {}
        missed, self._missed = self._missed, 0
        return changed, missed
