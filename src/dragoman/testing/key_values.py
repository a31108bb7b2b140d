"""The test suite of every `KeyValueStore`, and a clock that tests set."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.base import KeyValueStore


class Clock:
    """Returns the time that it was set to.

    Attributes:
        now: Seconds since 1970.
    """

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class KeyValueStoreSuite:
    """Tests of a `KeyValueStore`. A subclass defines how a store is opened."""

    def opened(self, where: Path, ttl: float, entries: int, clock: Clock) -> AbstractAsyncContextManager[KeyValueStore]:
        """Open a store.

        Args:
            where: An empty directory of the test. Stores opened for the same directory share their values.
            ttl: Seconds that a value is stored.
            entries: The maximum number of values.
            clock: Seconds since 1970.
        """
        raise NotImplementedError

    async def test_get_returns_what_was_put(self, tmp_path: Path) -> None:
        """The last value of each name, and nothing for other names."""
        async with self.opened(tmp_path, 10, 3, Clock()) as store:
            await store.put("a", b"1")
            await store.put("a", b"2")
            assert await store.get(["a", "b"]) == {"a": b"2"}
            assert await store.get([]) == {}

    async def test_a_store_with_a_value_is_never_called_empty(self, tmp_path: Path) -> None:
        """Also if another store of the same values stored it, and this one was empty when it last read."""
        async with (
            self.opened(tmp_path, 10, 3, Clock()) as one,
            self.opened(tmp_path, 10, 3, Clock()) as other,
        ):
            assert await one.get(["a"]) == {}
            await other.put("a", b"1")
            assert not one.is_empty()
            assert not other.is_empty()
            assert await one.get(["a"]) == {"a": b"1"}
            assert not one.is_empty()

    async def test_values_expire(self, tmp_path: Path) -> None:
        """Exactly after their time to live."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as store:
            await store.put("a", b"1")
            clock.now += 9
            assert await store.get(["a"]) == {"a": b"1"}
            clock.now += 1
            assert await store.get(["a"]) == {}

    async def test_the_oldest_values_are_deleted_when_it_is_full(self, tmp_path: Path) -> None:
        """A value that is put again counts as new."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as store:
            for name in ("a", "b", "c", "a", "d"):
                clock.now += 1
                await store.put(name, b"1")
            assert set(await store.get(["a", "b", "c", "d"])) == {"a", "c", "d"}

    async def test_several_stores_share_values(self, tmp_path: Path) -> None:
        """As several gateways do, and closing one does not affect the other."""
        clock = Clock()
        async with self.opened(tmp_path, 10, 3, clock) as store:
            await store.put("a", b"1")
            async with self.opened(tmp_path, 10, 3, clock) as other:
                await asyncio.gather(other.put("b", b"2"), store.put("c", b"3"))
                assert await other.get(["a", "b", "c"]) == {"a": b"1", "b": b"2", "c": b"3"}
            assert await store.get(["b"]) == {"b": b"2"}

    async def test_close_is_idempotent(self, tmp_path: Path) -> None:
        """The values are there when it is opened again."""
        async with self.opened(tmp_path, 10, 3, Clock()) as store:
            await store.put("a", b"1")
            await store.aclose()
        async with self.opened(tmp_path, 10, 3, Clock()) as store:
            assert await store.get(["a"]) == {"a": b"1"}
