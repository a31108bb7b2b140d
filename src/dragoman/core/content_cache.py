"""A cache of what is made from content alone, for content that clients send again and again.

An agent sends the same tools with every request. What is made from them (checks, repairs, warnings) is made once.
The key is the content itself, all of it: equal keys are equal content, so no client can get what belongs to another
one, and a client learns nothing but how long its own request takes. The values must not be changed.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

_ENTRY_BYTES = 256
"""What an entry counts beyond its key. A value takes some 900 bytes and 3.5 times its key, so 3.5 times its count."""

_ValueT = TypeVar("_ValueT")


class ContentCache(Generic[_ValueT]):
    """Values by the bytes that they were made from. When it is full, the older half is dropped, without what was used.

    Several threads may use it.

    Args:
        max_bytes: The maximum size of all keys, each with `_ENTRY_BYTES`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_young_bytes = max_bytes // 2
        self._young_bytes = 0
        self._young: dict[bytes, _ValueT] = {}
        self._old: dict[bytes, _ValueT] = {}

    def get(self, content: bytes) -> _ValueT | None:
        """Return the value that was made from this content; None if there is none."""
        value = self._young.get(content)
        if value is None and (value := self._old.get(content)) is not None:
            self.put(content, value)
        return value

    def get_all(self, contents: Sequence[bytes]) -> list[_ValueT | None]:
        """Return the value for each content, as `get` does."""
        values = [*map(self._young.get, contents)]
        if self._old and None in values:
            return [self.get(content) for content in contents]
        return values

    def put(self, content: bytes, value: _ValueT) -> None:
        """Store the value that was made from this content, unless it is too large."""
        if len(content) > self._max_young_bytes // 2:
            return
        size = len(content) + _ENTRY_BYTES
        if self._young_bytes + size > self._max_young_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        self._young_bytes += size
        self._young[content] = value
