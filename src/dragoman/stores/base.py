"""What stores promise."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Keep(Protocol):
    """Small values kept for a time, by name. A cache: what is not found was forgotten, and nobody is surprised.

    Safe to use from many tasks, and where the implementation says so from many processes. A value is there for `get`
    as soon as its `put` has returned. Trouble with the storage is logged and never raised: it forgets. Cancelling a
    call leaves the store whole.
    """

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """The values that are still there, by name."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Keep a value, in place of one that had the name before. The oldest go where the store is full."""
        ...

    async def aclose(self) -> None:
        """Let go of every file and connection. Idempotent; nothing may be called after it."""
        ...
