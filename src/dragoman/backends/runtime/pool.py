"""Spare processes: booted before anything about a request is known, so that a request need not wait for one."""

import asyncio
import contextlib
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Literal, TypeVar

import structlog

from dragoman.backends.runtime.session import Session
from dragoman.errors import GatewayError

log = structlog.get_logger("dragoman.runtime")

_QUIET = 0.3
"""Seconds without a request before a spare is booted: booting takes half of a small machine's processor, and the turns
that run meanwhile would take twice as long."""
_QUIET_AT_MOST = 3.0
_LONGEST_PAUSE = 60.0

Kind = TypeVar("Kind", bound=Hashable)


class Pool(Generic[Kind]):
    """Keeps a number of spares of each kind that was asked for, and boots one on the spot when there is none.

    Attributes:
        trouble: Why the last boot failed; None while all is well.
    """

    def __init__(self, boot: Callable[[Kind], Awaitable[Session]], size: int) -> None:
        self._boot = boot
        self._size = size
        self._spares: defaultdict[Kind, deque[Session]] = defaultdict(deque)
        self._wanted: dict[Kind, int] = {}
        self._wake = asyncio.Event()
        self._last_use = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self.trouble: str | None = None

    @property
    def ready(self) -> int:
        """Spares that wait."""
        return sum(len(spares) for spares in self._spares.values())

    def start(self, kind: Kind) -> None:
        """Begin to keep spares of a kind."""
        self._want(kind, self._size)
        self._keeper = asyncio.create_task(self._keep(), name="runtime-pool")

    def touch(self) -> None:
        """A request is being served: put booting off."""
        self._last_use = asyncio.get_running_loop().time()

    async def take(self, kind: Kind) -> tuple[Session, Literal["warm", "cold"]]:
        """A process of a kind that nobody has used.

        Raises:
            GatewayError: None could be started.
        """
        self.touch()
        spares = self._spares[kind]
        while spares:
            session = spares.popleft()
            self._wake.set()
            if session.alive:
                session.on_end = lambda: None
                return session, "warm"
        # A kind that is asked for once is likely to be asked for again.
        self._want(kind, min(1, self._size))
        return await self._boot(kind), "cold"

    async def aclose(self) -> None:
        """End every spare. Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for spares in self._spares.values():
            for session in spares:
                session.discard()

    def _want(self, kind: Kind, count: int) -> None:
        self._wanted[kind] = max(count, self._wanted.get(kind, 0))
        self._wake.set()

    def _missing(self) -> Kind | None:
        return next((kind for kind, count in self._wanted.items() if len(self._spares[kind]) < count), None)

    async def _keep(self) -> None:
        pause = 1.0
        while True:
            self._wake.clear()
            kind = self._missing()
            if kind is None:
                await self._wake.wait()
                continue
            await self._quiet()
            try:
                self._add(kind, await self._boot(kind))
            except GatewayError as error:
                self.trouble = error.message
                log.warning("runtime.boot_failed", error=error.message, again_in=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.trouble, pause = None, 1.0

    def _add(self, kind: Kind, session: Session) -> None:
        if not session.alive:
            self._wake.set()
            return
        spares = self._spares[kind]
        spares.append(session)

        def ended() -> None:
            with contextlib.suppress(ValueError):
                spares.remove(session)
            self._wake.set()

        session.on_end = ended

    async def _quiet(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + _QUIET_AT_MOST
        while (now := loop.time()) < latest and now - self._last_use < _QUIET:
            await asyncio.sleep(_QUIET - (now - self._last_use))
