"""Time, as a test sets it.

What every keep has to do.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.base import KeyValueStore


class Clock:
    """Gives the time that it was set to.

    Attributes:
        now: Seconds since 1970.
    """

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class KeyValueStoreSuite:
    """Inherit from it, and say how a keep is opened."""

    def opened(self, where: Path, ttl: float, entries: int, clock: Clock) -> AbstractAsyncContextManager[KeyValueStore]:
        """Open a keep.

        Args:
            where: An empty folder of the test's own. What is opened for the same folder shares what is kept.
            ttl: Seconds that a value is kept.
            entries: The most values.
            clock: The time.
        """
        raise NotImplementedError

    async def test_what_was_put_is_there_and_the_rest_is_not(self, tmp_path: Path) -> None:
        """Also after it was put anew."""
        async with self.opened(tmp_path, 10, 3, Clock()) as keep:
            await keep.put("a", b"1")
            await keep.put("a", b"2")
            assert await keep.get(["a", "b"]) == {"a": b"2"}
            assert await keep.get([]) == {}

    async def test_a_value_is_kept_for_its_time(self, tmp_path: Path) -> None:
        """To the second."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as keep:
            await keep.put("a", b"1")
            clock.now += 9
            assert await keep.get(["a"]) == {"a": b"1"}
            clock.now += 1
            assert await keep.get(["a"]) == {}

    async def test_the_oldest_go_where_it_is_full(self, tmp_path: Path) -> None:
        """Put anew is young again."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as keep:
            for name in ("a", "b", "c", "a", "d"):
                clock.now += 1
                await keep.put(name, b"1")
            assert set(await keep.get(["a", "b", "c", "d"])) == {"a", "c", "d"}

    async def test_many_share_it_and_survive_each_other(self, tmp_path: Path) -> None:
        """As several gateways do."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as keep:
            await keep.put("a", b"1")
            async with self.opened(tmp_path, 10, 3, clock) as other:
                await asyncio.gather(other.put("b", b"2"), keep.put("c", b"3"))
                assert await other.get(["a", "b", "c"]) == {"a": b"1", "b": b"2", "c": b"3"}
            assert await keep.get(["b"]) == {"b": b"2"}

    async def test_closing_twice_is_closing(self, tmp_path: Path) -> None:
        """And what was put is there for the next."""
        async with self.opened(tmp_path, 10, 3, Clock()) as keep:
            await keep.put("a", b"1")
            await keep.aclose()
        async with self.opened(tmp_path, 10, 3, Clock()) as keep:
            assert await keep.get(["a"]) == {"a": b"1"}
