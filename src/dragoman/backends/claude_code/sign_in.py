"""The state of the operator's sign-in, from the API's responses and from the official command."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from dragoman.core import log
from dragoman.core.messages import JSONObject
from dragoman.core.supervise import SupervisedTask, describe, failures_in

_FIRST_PAUSE, _MAX_PAUSE = 10.0, 60.0
_UNUSABLE_STATES = ("expired", "signed_out")


class SignIn:
    """The state of the sign-in. While it is unusable, a task checks it with growing pauses, to find a new one.

    The check asks the command on this machine, and never the API.

    Attributes:
        refused_since: When Claude refused the sign-in first, in seconds since 1970; None if it did not.
    """

    def __init__(
        self,
        read_state: Callable[[], Awaitable[JSONObject]],
        on_lost: Callable[[], None],
        on_renewed: Callable[[], None],
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        """Assume a usable sign-in.

        Args:
            read_state: Asks the official command for the state.
            on_lost: Called when the sign-in is unusable.
            on_renewed: Called when it is usable again.
            first_pause: Seconds between the first two checks. Each further pause is twice as long.
        """
        self.refused_since: float | None = None
        self._read_state = read_state
        self._on_lost = on_lost
        self._on_renewed = on_renewed
        self._first_pause = first_pause
        self._unusable_state: JSONObject | None = None
        self._watch = SupervisedTask(
            self._check_until_usable, name="sign-in", on_failure=_log_failure, first_pause=first_pause
        )

    def usable(self) -> bool:
        """Return whether the API would accept the sign-in, as far as is known."""
        return self.refused_since is None and self._unusable_state is None

    def refused(self) -> None:
        """Note that the API refused the sign-in."""
        self.refused_since = self.refused_since or time.time()
        self._lose()

    def accepted(self) -> None:
        """Note that the API accepted the sign-in."""
        if not self.usable():
            self._restore()

    async def check(self) -> JSONObject:
        """Return the state by the official command. A state that differs from the unusable one is a new sign-in."""
        state = await self._read_state()
        if state["state"] in _UNUSABLE_STATES:
            self._unusable_state = state
            self._lose()
        elif state["state"] == "signed_in" and not self.usable():
            if self._unusable_state is None:
                self._unusable_state = state  # this is the sign-in that the API refused
            elif state != self._unusable_state:
                self._restore()
        return state

    def failures(self) -> Mapping[str, str]:
        """Return why the check failed; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._watch)

    async def aclose(self) -> None:
        """Stop the checks. Idempotent."""
        await self._watch.aclose()

    def _restore(self) -> None:
        self.refused_since = self._unusable_state = None
        self._on_renewed()

    def _lose(self) -> None:
        self._on_lost()
        self._watch.start()

    async def _check_until_usable(self) -> None:
        pause = self._first_pause
        while not self.usable():
            await self.check()
            self._watch.recovered()
            await asyncio.sleep(0 if self.usable() else pause)
            pause = min(2 * pause, _MAX_PAUSE)


def _log_failure(error: Exception, pause: float) -> None:
    log.error("sign_in.check_failed", error=describe(error), again_in=pause, exc_info=error)
