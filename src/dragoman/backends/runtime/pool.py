"""Spare processes: booted before anything about a request is known, so that a request need not wait for one."""

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from typing import Literal

import structlog

from dragoman.backends.runtime.kinds import Kind
from dragoman.backends.runtime.session import Session
from dragoman.errors import GatewayError

log = structlog.get_logger("dragoman.runtime")

_QUIET = 0.3
"""Seconds without a request before a spare is booted: booting takes half of a small machine's processor, and the turns
that run meanwhile would take twice as long."""
_QUIET_AT_MOST = 3.0
_LONGEST_PAUSE = 60.0


class Pool:
    """Keeps a number of spares, shared by the kinds that were last asked for; boots on the spot when there is none.

    Attributes:
        trouble: Why the last boot failed; None while all is well.
    """

    def __init__(self, boot: Callable[[Kind], Awaitable[Session]], size: int) -> None:
        self._boot = boot
        self._size = size
        self._spares: defaultdict[Kind, deque[Session]] = defaultdict(deque)
        self._recent: list[Kind] = []
        self._wake = asyncio.Event()
        self._last_use = 0.0
        self._paused = False
        self._keeper: asyncio.Task[None] | None = None
        self.trouble: str | None = None

    @property
    def ready(self) -> int:
        """Spares that wait."""
        return sum(len(spares) for spares in self._spares.values())

    def start(self, kind: Kind) -> None:
        """Begin to keep spares, of this kind until another is asked for."""
        self._asked_for(kind)
        self._keeper = asyncio.create_task(self._keep(), name="runtime-pool")

    def pause(self) -> None:
        """Let go of all spares, and boot none for a while. What is taken meanwhile is booted on the spot."""
        self._paused = True
        for kind in list(self._spares):
            self._drop(kind, keep=0)

    def resume(self) -> None:
        """Boot spares again."""
        self._paused = False
        self._wake.set()

    def touch(self) -> None:
        """A request is being served: put booting off."""
        self._last_use = asyncio.get_running_loop().time()

    async def take(self, kind: Kind) -> tuple[Session, Literal["warm", "cold"]]:
        """A process of a kind that nobody has used.

        Raises:
            GatewayError: None could be started.
        """
        self.touch()
        self._asked_for(kind)
        spares = self._spares[kind]
        while spares:
            session = spares.popleft()
            session.on_end = lambda: None
            if session.alive:
                return session, "warm"
        return await self._boot(kind), "cold"

    async def aclose(self) -> None:
        """End every spare. Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for kind in list(self._spares):
            self._drop(kind, keep=0)

    def _asked_for(self, kind: Kind) -> None:
        """Put a kind first; those of another day are never asked for again."""
        others = [other for other in self._recent if other != kind and other.day == kind.day]
        self._recent = [kind, *others][: max(1, self._size)]
        self._wake.set()

    def _shares(self) -> Counter[Kind]:
        if self._paused or not self._recent:
            return Counter()
        return Counter(islice(cycle(self._recent), self._size))

    async def _keep(self) -> None:
        pause = 1.0
        while True:
            self._wake.clear()
            shares = self._shares()
            for kind in list(self._spares):
                self._drop(kind, keep=shares[kind])
            missing = next((kind for kind, count in shares.items() if len(self._spares[kind]) < count), None)
            if missing is None:
                await self._wake.wait()
                continue
            await self._quiet()
            try:
                self._add(missing, await self._boot(missing))
            except GatewayError as error:
                self.trouble = error.message
                log.warning("runtime.boot_failed", error=error.message, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.trouble, pause = None, 1.0

    def _add(self, kind: Kind, session: Session) -> None:
        spares = self._spares[kind]
        if not session.alive:
            return
        spares.append(session)

        def ended() -> None:
            with contextlib.suppress(ValueError):
                spares.remove(session)
            self._wake.set()

        session.on_end = ended

    def _drop(self, kind: Kind, *, keep: int) -> None:
        spares = self._spares[kind]
        while len(spares) > keep:
            spares.pop().discard()
        if not spares:
            del self._spares[kind]

    async def _quiet(self) -> None:
        """Wait until no request was served for a moment, but not for ever."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _QUIET_AT_MOST
        while (left := min(self._last_use + _QUIET, latest) - loop.time()) > 0:  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(left)
