"""The test suite of every `ResponseCache`."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.response_cache import CachedValue, ResponseCache
from dragoman.testing.key_values import Clock


class ResponseCacheSuite:
    """Tests of a `ResponseCache`. A subclass defines how a cache is opened."""

    def opened(self, where: Path, ttl: float, size: int, clock: Clock) -> AbstractAsyncContextManager[ResponseCache]:
        """Open an empty cache.

        Args:
            where: An empty directory of the test.
            ttl: Seconds that a value is stored.
            size: The maximum number of bytes. The suite allows 500 bytes of overhead for each entry.
            clock: Seconds.
        """
        raise NotImplementedError

    async def test_get_returns_what_was_put(self, tmp_path: Path) -> None:
        """The last value of each name with its age, and nothing for other names."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 10_000, clock) as cache:
            await cache.put("a", b"1")
            clock.now += 2
            await cache.put("a", b"2")
            clock.now += 3
            assert await cache.get("a") == CachedValue(b"2", 3)
            assert await cache.get("b") is None

    async def test_a_deleted_value_is_gone(self, tmp_path: Path) -> None:
        """A name that is not there can be deleted."""
        async with self.opened(tmp_path, 10, 10_000, Clock()) as cache:
            await cache.put("a", b"1")
            await cache.delete("a")
            await cache.delete("b")
            assert await cache.get("a") is None

    async def test_values_expire(self, tmp_path: Path) -> None:
        """Exactly after their time to live. Reading a value does not prolong it."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 10_000, clock) as cache:
            await cache.put("a", b"1")
            clock.now += 9
            assert await cache.get("a") == CachedValue(b"1", 9)
            clock.now += 1
            assert await cache.get("a") is None

    async def test_the_least_recently_used_values_are_deleted_when_it_is_full(self, tmp_path: Path) -> None:
        """By their bytes. A value that was read is used."""
        clock = Clock()
        async with self.opened(tmp_path, 100, 10_000, clock) as cache:
            for name in "abc":
                clock.now += 1
                await cache.put(name, b"x" * 2800)
            clock.now += 1
            assert await cache.get("a")
            clock.now += 1
            await cache.put("d", b"x" * 2800)
            assert [name for name in "abcd" if await cache.get(name)] == ["a", "c", "d"]
            assert (cache.used() or 0) <= 10_000

    async def test_a_value_larger_than_the_cache_is_not_stored(self, tmp_path: Path) -> None:
        """It pushes out no other one, and replaces the value of its name."""
        async with self.opened(tmp_path, 10, 10_000, Clock()) as cache:
            await cache.put("a", b"1")
            await cache.put("b", b"1")
            await cache.put("b", b"x" * 10_001)
            assert await cache.get("a") == CachedValue(b"1", 0)
            assert await cache.get("b") is None

    async def test_close_is_idempotent(self, tmp_path: Path) -> None:
        """It may be closed twice."""
        async with self.opened(tmp_path, 10, 10_000, Clock()) as cache:
            await cache.aclose()
