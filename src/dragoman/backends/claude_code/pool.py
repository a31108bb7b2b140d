"""Processes that wait for a request: warm ones, and live ones that hold a conversation.

Both are caches. A request for which no process waits gets a process that is booted for it, and a conversation without a
live process is replayed, with the same result.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle, islice
from typing import Literal

from dragoman.backends.claude_code.session import Session
from dragoman.core import log
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSONObject
from dragoman.core.supervise import SupervisedTask, describe, failures_in
from dragoman.core.value_object import replace, value_object

_QUIET = 0.3
"""Seconds without a request before a warm process is booted. Booting takes half of a small machine's processor time, so
turns in the meantime would take twice as long."""
_MAX_QUIET_WAIT = 3.0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a process is initialized with, for the conversations of one client.

    Attributes:
        client: Whose conversations; see `client_scope`.
        system: The system prompt.
        tools: The names of the client's tools.
        settings: The settings of the request. Another request with the same prompt may have others.
    """

    client: str
    system: str
    tools: tuple[str, ...]
    settings: JSONObject = field(compare=False)


@value_object
class PoolKey:
    """What must match for a warm process to serve a request.

    Attributes:
        one_call: The process makes a single API call and is then spent.
        model: With a sign-in, the model that the process's reminders name; None with an API key.
        day: With a sign-in, the day that the process's reminders name; None with an API key.
        by_transcript: The process waits for a transcript, which names the model.
        prompt: The process is initialized ahead; None if it serves every prompt. A request's key has its prompt.
    """

    one_call: bool = False
    model: str | None = None
    day: date | None = None
    by_transcript: bool = False
    prompt: Prompt | None = None

    @property
    def without_prompt(self) -> "PoolKey":
        """The key of a process that serves every prompt."""
        return replace(self, prompt=None)


class WarmPool:
    """Keeps a number of warm processes, shared by the keys that were requested last.

    Where two or more processes are for one key, one of them is initialized ahead with a prompt that two new
    conversations in a row had. It is discarded when two in a row had others.

    Attributes:
        filled: Set while all warm processes are booted.
    """

    def __init__(
        self,
        boot: Callable[[PoolKey], Awaitable[Session]],
        size: int,
        *,
        warm_up: Callable[[PoolKey, Session], Awaitable[None]] | None = None,
        name: str = "runtime-pool",
    ) -> None:
        """Prepare an empty pool.

        Args:
            boot: Boots a process.
            size: The number of warm processes.
            warm_up: Prepares a process that waits in the pool. A process that is booted for a request is used at once.
            name: The name of the task that boots them.
        """
        self.filled = asyncio.Event()
        self._boot = boot
        self._warm_up = warm_up
        self._size = size
        self._waiting: defaultdict[PoolKey, deque[Session]] = defaultdict(deque)
        self._recent_keys: list[PoolKey] = []
        self._last_keys: deque[PoolKey] = deque(maxlen=2)
        self._ahead: PoolKey | None = None
        self._booting: PoolKey | None = None
        self._claim: asyncio.Future[Session | None] | None = None
        self._changed = asyncio.Event()
        self._last_use = 0.0
        self._paused = False
        self._task = SupervisedTask(self._keep_filled, name=name, on_failure=_log_failure)

    def __len__(self) -> int:
        """Return the number of warm processes."""
        return sum(len(sessions) for sessions in self._waiting.values())

    @property
    def failure(self) -> str | None:
        """Why the pool cannot be filled; None if it can."""
        return self._task.failure

    def failures(self) -> Mapping[str, str]:
        """Return the same; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._task)

    def start(self, key: PoolKey) -> None:
        """Begin to boot processes, for this key until another is requested."""
        self._note_request(key)
        self._task.start()

    def pause(self) -> None:
        """Discard all warm processes, and boot none until `resume`. `take` still boots."""
        self._paused = True
        for key in list(self._waiting):
            self._shrink(key, 0)

    def resume(self) -> None:
        """Boot warm processes again."""
        self._paused = False
        self._changed.set()

    def touch(self) -> None:
        """Note that a request is served now: booting waits."""
        self._last_use = asyncio.get_running_loop().time()

    async def take(self, key: PoolKey) -> tuple[Session, Literal["warm", "cold"]]:
        """Return an unused process, which is then the caller's: a warm one, or one that is booted now.

        Raises:
            GatewayError: No process could be booted.
        """
        if (session := self.take_warm(key)) is not None:
            return session, "warm"
        return await self.boot(key), "cold"

    def take_warm(self, key: PoolKey) -> Session | None:
        """Return a warm process, which is then the caller's; None if there is none."""
        self.touch()
        self._note_request(key)
        for usable_key in (key, key.without_prompt):
            sessions = self._waiting[usable_key]
            while sessions:
                session = sessions.popleft()
                session.on_end = lambda: None
                if session.alive:
                    return session
        return None

    async def boot(self, key: PoolKey) -> Session:
        """Return the process that the pool boots now, else one that is booted for the caller. It is the caller's.

        Raises:
            GatewayError: No process could be booted.
        """
        if self._booting in {key, key.without_prompt} and self._claim is None:
            claim: asyncio.Future[Session | None] = asyncio.get_running_loop().create_future()
            self._claim = claim
            try:
                session = await claim
            except asyncio.CancelledError:
                if claim.done() and not claim.cancelled() and (unused := claim.result()) is not None:
                    unused.discard()
                raise
            if session is not None and session.alive:
                return session
        return await self._boot(key.without_prompt)

    def has(self, key: PoolKey) -> bool:
        """Return whether a warm process waits."""
        return any(session.alive for usable in (key, key.without_prompt) for session in self._waiting.get(usable, ()))

    async def aclose(self) -> None:
        """Discard every warm process. Idempotent."""
        await self._task.aclose()
        for key in list(self._waiting):
            self._shrink(key, 0)

    def _note_request(self, key: PoolKey) -> None:
        """Put a key first. Keys of another day are never requested again."""
        if key.prompt is not None:
            self._last_keys.append(key)
            if self._last_keys.count(key) > 1:
                self._ahead = key
            elif self._ahead not in self._last_keys:
                self._ahead = None
            key = key.without_prompt
        others = [other for other in self._recent_keys if other != key and other.day == key.day]
        self._recent_keys = [key, *others][: max(1, self._size)]
        self._changed.set()

    async def _keep_filled(self) -> None:
        while True:
            self._changed.clear()
            targets = self._targets()
            for key in list(self._waiting):
                self._shrink(key, targets[key])
            missing = next((key for key, count in targets.items() if len(self._waiting[key]) < count), None)
            if missing is None:
                self.filled.set()
                await self._changed.wait()
            else:
                self.filled.clear()
                await self._wait_for_quiet()
                await self._boot_missing(missing)
                self._task.recovered()

    async def _boot_missing(self, key: PoolKey) -> None:
        """Boot a process and keep it, or give it to the request that waits for it."""
        self._booting = key.without_prompt
        try:
            session = await self._boot(key.without_prompt)
            if self._warm_up is not None and self._claim is None:
                self._booting = key  # only a request with this prompt can use it now
                await self._warm_up(key, session)
            if self._claim is not None and not self._claim.done():
                self._claim.set_result(session)
            else:
                self._add(key, session)
        finally:
            self._booting = None
            if self._claim is not None and not self._claim.done():
                self._claim.set_result(None)
            self._claim = None

    def _targets(self) -> Counter[PoolKey]:
        if self._paused or not self._recent_keys:
            return Counter()
        targets = Counter(islice(cycle(self._recent_keys), self._size))
        if self._ahead is not None and targets[self._ahead.without_prompt] > 1:
            targets[self._ahead.without_prompt] -= 1
            targets[self._ahead] = 1
        return targets

    def _add(self, key: PoolKey, session: Session) -> None:
        if not session.alive:
            return
        sessions = self._waiting[key]
        sessions.append(session)

        def remove() -> None:
            with contextlib.suppress(ValueError):
                sessions.remove(session)
            self._changed.set()

        session.on_end = remove

    def _shrink(self, key: PoolKey, size: int) -> None:
        sessions = self._waiting[key]
        while len(sessions) > size:
            sessions.pop().discard()
        if not sessions:
            del self._waiting[key]

    async def _wait_for_quiet(self) -> None:
        """Wait until no request was served for `_QUIET` seconds, but not longer than `_MAX_QUIET_WAIT`."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + _MAX_QUIET_WAIT
        while (pause := min(self._last_use + _QUIET, latest) - loop.time()) > 0:  # noqa: ASYNC110 - it waits for time
            await asyncio.sleep(pause)


def _log_failure(error: Exception, pause: float) -> None:
    if isinstance(error, GatewayError):
        log.warning("runtime.boot_failed", error=error.message, again_in=pause)
    else:
        log.warning("runtime.boot_failed", error=describe(error), again_in=pause, exc_info=error)


@dataclass(slots=True)
class _Entry:
    session: Session
    expiry: asyncio.TimerHandle


class LiveProcesses:
    """Idle processes by the hash of their conversation, limited by number, age and memory.

    The least recently used ends first.
    """

    def __init__(self, *, max_count: int, max_memory: int, memory_of: Callable[[int], int]) -> None:
        """Prepare an empty cache.

        Args:
            max_count: The most processes.
            max_memory: Resident bytes of all processes together.
            memory_of: Returns the resident bytes of a process id; 0 if unknown.
        """
        self._max_count = max_count
        self._max_memory = max_memory
        self._memory_of = memory_of
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.on_held: Callable[[str, bool], None] = lambda _conversation, _held: None

    def __len__(self) -> int:
        """Return the number of processes."""
        return len(self._entries)

    def take(self, conversation: str) -> Session | None:
        """Return the process that holds a conversation, which is then the caller's."""
        entry = self._entries.pop(conversation, None)
        if entry is None:
            return None
        self.on_held(conversation, False)
        entry.expiry.cancel()
        entry.session.on_end = lambda: None
        return entry.session if entry.session.alive else None

    def put(self, conversation: str, session: Session, ttl: float) -> None:
        """Keep a process with the conversation that it holds, for `ttl` seconds."""
        self._discard(conversation)
        expiry = asyncio.get_running_loop().call_later(ttl, self._discard, conversation)
        self._entries[conversation] = _Entry(session, expiry)
        self.on_held(conversation, True)
        session.on_end = lambda: self._discard(conversation)
        while len(self._entries) > self._max_count or (len(self._entries) > 1 and self._memory() > self._max_memory):
            self._discard(next(iter(self._entries)))

    def clear(self) -> None:
        """Discard every process."""
        for conversation in list(self._entries):
            self._discard(conversation)

    def _memory(self) -> int:
        return sum(self._memory_of(entry.session.pid) for entry in self._entries.values())

    def _discard(self, conversation: str) -> None:
        if session := self.take(conversation):
            session.discard()
