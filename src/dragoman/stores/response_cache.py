"""The protocol of a response cache, and the cache in the memory of one process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from dragoman.core.value_object import value_object

_OVERHEAD = 300
"""Bytes that an entry takes in addition to its value."""


@value_object
class CachedValue:
    """A value and its age.

    Attributes:
        value: The value.
        age: Seconds since it was put.
    """

    value: bytes
    age: float


class ResponseCache(Protocol):
    """Stores values by name, for a limited time and up to a maximum number of bytes.

    It may lose a value at any time, and never returns one that is too old or that was deleted. Safe to use from many
    tasks, and from many processes if the implementation says so. Errors of the storage are logged and not raised: the
    value is missing.
    """

    async def get(self, name: str) -> CachedValue | None:
        """Return a value."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Store a value, unless it is too large. When the cache is full, the values unused for longest are deleted."""
        ...

    async def delete(self, name: str) -> None:
        """Delete a value."""
        ...

    def used(self) -> int | None:
        """Return the bytes of all values; None if that is not known."""
        ...

    def failure(self) -> str | None:
        """Return why the last call failed; None if it did not."""
        ...

    async def aclose(self) -> None:
        """Close every file and connection. Idempotent. No call may follow."""
        ...


class MemoryResponseCache:
    """A `ResponseCache` of one process.

    Args:
        ttl: Seconds that a value is stored.
        size: The maximum number of bytes of all entries.
        clock: Seconds.
    """

    def __init__(self, *, ttl: float, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # the one unused for longest first
        self._used = 0

    async def get(self, name: str) -> CachedValue | None:
        """See `ResponseCache.get`."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        put_at, value = entry
        age = self._clock() - put_at
        if age >= self._ttl:
            self._delete(name)
            return None
        self._entries.move_to_end(name)
        return CachedValue(value, age)

    async def put(self, name: str, value: bytes) -> None:
        """See `ResponseCache.put`."""
        self._delete(name)
        if _weight(value) > self._size:
            return
        self._entries[name] = (self._clock(), value)
        self._used += _weight(value)
        while self._used > self._size:
            self._delete(next(iter(self._entries)))

    async def delete(self, name: str) -> None:
        """See `ResponseCache.delete`."""
        self._delete(name)

    def used(self) -> int:
        """See `ResponseCache.used`."""
        return self._used

    def failure(self) -> None:
        """See `ResponseCache.failure`. Nothing can fail."""

    async def aclose(self) -> None:
        """See `ResponseCache.aclose`."""
        self._entries.clear()
        self._used = 0

    def _delete(self, name: str) -> None:
        if entry := self._entries.pop(name, None):
            self._used -= _weight(entry[1])


def _weight(value: bytes) -> int:
    return len(value) + _OVERHEAD
