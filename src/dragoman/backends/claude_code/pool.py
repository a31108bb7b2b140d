"""What sets one booted process apart from another before it is configured.

Putting one request into a process: configure, replay or go on, ask.

Processes that hold a conversation, kept for its next turn. A cache, never the truth: replay gives the same.

Spare processes: booted before anything about a request is known, so that a request need not wait for one.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from itertools import cycle, islice
from typing import Literal

import structlog

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.translate import RuntimeRequest
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject


@dataclass(frozen=True, slots=True)
class PoolKey:
    """A kind of spare process.

    Attributes:
        one_call: It makes a single API call and is spent then.
        model: With a sign-in, the model that its reminders name; None with an API key, where one kind serves all.
        day: With a sign-in, the day that its reminders name.
    """

    one_call: bool = False
    model: str | None = None
    day: date | None = None


class Conversation:
    """A planned request and the process that serves it.

    Attributes:
        live: Whether the process already holds the conversation up to its last message.
    """

    def __init__(self, plan: RuntimeRequest, session: Session, *, live: bool) -> None:
        self._plan = plan
        self._session = session
        self._asking: list[JSONObject] = []
        self.live = live

    async def prepare(self) -> dict[str, float]:
        """Bring the process to where only the question is missing.

        Returns:
            Seconds that each stage took: `configure`, `replay`.
        """
        began = time.perf_counter()
        if self.live:
            await self._session.configure(self._plan.settings)
            self._asking = [protocol.user(self._plan.messages[-1]["content"], ask=True)]
            return {"configure": time.perf_counter() - began, "replay": 0.0}
        prompt: JSONObject = {"systemPrompt": self._plan.system}
        await self._session.begin(prompt, self._plan.tools, self._plan.settings)
        configured = time.perf_counter()
        *earlier, self._asking = protocol.replay(self._plan.messages, self._plan.model)
        await self._session.append(earlier)
        return {"configure": configured - began, "replay": time.perf_counter() - configured}

    def answer(self) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events."""
        results = self._plan.results if self.live else None
        if results is not None:
            return self._session.go_on(results, self._plan.limit)
        return self._session.ask(self._asking, self._plan.limit)


@dataclass(slots=True)
class _Kept:
    session: Session
    expiry: asyncio.TimerHandle


class LiveProcesses:
    """Idle conversations by name, within a count, an age and an amount of memory; the least recently used go first."""

    def __init__(self, *, count: int, memory: int, resident: Callable[[int], int]) -> None:
        """An empty cache.

        Args:
            count: The most conversations.
            memory: Bytes that all may take together.
            resident: The resident bytes of a process id; 0 where that is not known.
        """
        self._count = count
        self._memory = memory
        self._resident = resident
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def __len__(self) -> int:
        """Conversations kept."""
        return len(self._kept)

    def take(self, name: str) -> Session | None:
        """The process that holds a conversation, which is the caller's from now on."""
        kept = self._kept.pop(name, None)
        if kept is None:
            return None
        kept.expiry.cancel()
        kept.session.on_end = lambda: None
        return kept.session if kept.session.alive else None

    def put(self, name: str, session: Session, ttl: float) -> None:
        """Keep a process, with the conversation it holds now, for `ttl` seconds."""
        self._drop(name)
        expiry = asyncio.get_running_loop().call_later(ttl, self._drop, name)
        self._kept[name] = _Kept(session, expiry)
        session.on_end = lambda: self._drop(name)
        while len(self._kept) > self._count or (len(self._kept) > 1 and self._used() > self._memory):
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """End every process."""
        for name in list(self._kept):
            self._drop(name)

    def _used(self) -> int:
        return sum(self._resident(kept.session.pid) for kept in self._kept.values())

    def _drop(self, name: str) -> None:
        if session := self.take(name):
            session.discard()


log = structlog.get_logger("dragoman.runtime")

_QUIET = 0.3
"""Seconds without a request before a spare is booted: booting takes half of a small machine's processor, and the turns
that run meanwhile would take twice as long."""
_QUIET_AT_MOST = 3.0
_LONGEST_PAUSE = 60.0


class WarmPool:
    """Keeps a number of spares, shared by the kinds that were last asked for; boots on the spot when there is none.

    Attributes:
        trouble: Why the last boot failed; None while all is well.
    """

    def __init__(self, boot: Callable[[PoolKey], Awaitable[Session]], size: int) -> None:
        self._boot = boot
        self._size = size
        self._spares: defaultdict[PoolKey, deque[Session]] = defaultdict(deque)
        self._recent: list[PoolKey] = []
        self._wake = asyncio.Event()
        self._last_use = 0.0
        self._paused = False
        self._keeper: asyncio.Task[None] | None = None
        self.trouble: str | None = None

    @property
    def ready(self) -> int:
        """Spares that wait."""
        return sum(len(spares) for spares in self._spares.values())

    def start(self, kind: PoolKey) -> None:
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

    async def take(self, kind: PoolKey) -> tuple[Session, Literal["warm", "cold"]]:
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

    def _asked_for(self, kind: PoolKey) -> None:
        """Put a kind first; those of another day are never asked for again."""
        others = [other for other in self._recent if other != kind and other.day == kind.day]
        self._recent = [kind, *others][: max(1, self._size)]
        self._wake.set()

    def _shares(self) -> Counter[PoolKey]:
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

    def _add(self, kind: PoolKey, session: Session) -> None:
        spares = self._spares[kind]
        if not session.alive:
            return
        spares.append(session)

        def ended() -> None:
            with contextlib.suppress(ValueError):
                spares.remove(session)
            self._wake.set()

        session.on_end = ended

    def _drop(self, kind: PoolKey, *, keep: int) -> None:
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
