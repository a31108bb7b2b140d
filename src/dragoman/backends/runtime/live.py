"""Processes that hold a conversation, kept for its next turn. A cache, never the truth: replay gives the same."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dragoman.backends.runtime.session import Session


@dataclass(slots=True)
class _Kept:
    session: Session
    expiry: asyncio.TimerHandle


class Live:
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
