"""How the owner's sign-in stands, by Claude's answers and by the official command."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from dragoman.core.messages import JSONObject

_PAUSE, _LONGEST_PAUSE = 10.0, 60.0
_UNUSABLE = ("expired", "signed_out")


class SignIn:
    """What is known of the sign-in. While it is of no use it is looked at now and then, so that a new one is found.

    It is the command on this machine that is asked then, and never the API.

    Args:
        ask: How it stands, by the official command.
        lost: Told when it is of no use any more.
        renewed: Told when it is of use again.
        pause: Seconds until it is looked at again, which grow.

    Attributes:
        refused_since: When Claude refused it first, in seconds since 1970; None where it did not.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[JSONObject]],
        lost: Callable[[], None],
        renewed: Callable[[], None],
        pause: float = _PAUSE,
    ) -> None:
        self.refused_since: float | None = None
        self._ask = ask
        self._lost = lost
        self._renewed = renewed
        self._pause = pause
        self._unusable: JSONObject | None = None
        self._watch: asyncio.Task[None] | None = None

    def usable(self) -> bool:
        """Whether a question would be answered with it, as far as one knows."""
        return self.refused_since is None and self._unusable is None

    def refused(self) -> None:
        """Claude did not take it."""
        self.refused_since = self.refused_since or time.time()
        self._lose()

    def accepted(self) -> None:
        """Claude took it."""
        if not self.usable():
            self._restore()

    async def look(self) -> JSONObject:
        """Ask how it stands now. One that stands otherwise than the one that was of no use is new, and worth a try."""
        told = await self._ask()
        if told["state"] in _UNUSABLE:
            self._unusable = told
            self._lose()
        elif told["state"] == "signed_in" and not self.usable():
            if self._unusable is None:
                self._unusable = told  # this one is what Claude refused
            elif told != self._unusable:
                self._restore()
        return told

    async def aclose(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    def _restore(self) -> None:
        self.refused_since = self._unusable = None
        self._renewed()

    def _lose(self) -> None:
        self._lost()
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._until_usable(), name="sign-in")

    async def _until_usable(self) -> None:
        pause = self._pause
        while not self.usable():
            await self.look()
            await asyncio.sleep(0 if self.usable() else pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
