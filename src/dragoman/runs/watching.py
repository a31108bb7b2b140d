"""Looking on while a run goes on, without being its reader."""

import asyncio

from dragoman.events import Event

_MOST_WAITING = 1000


class Watcher:
    """Collects what happens in a run, for one who looks on.

    One who comes late, or is slow, has what was said before to be told as a whole, so nothing grows without end.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._missed = True

    def add(self, event: Event) -> None:
        """Something happened."""
        if len(self._events) < _MOST_WAITING:
            self._events.append(event)
        else:
            self._missed = True
        self._news.set()

    def wake(self) -> None:
        """The run stands differently, or is over."""
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Return when there is something new, or after so long; and say whether there is."""
        try:
            async with asyncio.timeout(seconds):
                return await self._news.wait()
        except TimeoutError:
            return False

    def taken(self) -> list[Event] | None:
        """What has come since the last call; None where some of it was missed: what the run has said holds all."""
        self._news.clear()
        events, self._events = self._events, []
        missed, self._missed = self._missed, False
        return None if missed else events
