"""The test suite of every `RecordingStore`."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.recordings import Claim, RecordingName, RecordingStore
from dragoman.testing.key_values import Clock

_ME, _OTHER = "me", "other"
_NAME = RecordingName("alice", "key-1")


class RecordingStoreSuite:
    """Tests of a `RecordingStore`. A subclass defines how a store is opened."""

    def opened(
        self, where: Path, ttl: float, size: int, clock: Clock, alive: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[RecordingStore]:
        """Open a store.

        Args:
            where: An empty directory of the test. Stores opened for the same directory share their responses.
            ttl: Seconds that a response is stored.
            size: The maximum number of bytes. The suite allows 100 bytes of overhead for each response.
            clock: Seconds since 1970.
            alive: Returns whether a producer is running.
        """
        raise NotImplementedError

    def _opened(self, where: Path, clock: Clock | None = None) -> AbstractAsyncContextManager[RecordingStore]:
        return self.opened(where, 10, 10_000, clock or Clock(), lambda producer: producer == _ME)

    async def test_one_of_many_gets_a_name(self, tmp_path: Path) -> None:
        """All others learn what it was taken for, and whether its response is complete."""
        async with self._opened(tmp_path) as one, self._opened(tmp_path) as other:
            claims = await asyncio.gather(*(store.claim(_NAME, b"r", _ME) for store in (one, other) * 5))
            assert claims.count(None) == 1
            assert [claim for claim in claims if claim] == [Claim(b"r", _ME)] * 9
            assert await one.finish(_NAME, _ME, b"response")
            assert await other.claim(_NAME, b"another", _ME) == Claim(b"r", _ME, b"response")

    async def test_names_belong_to_their_owner(self, tmp_path: Path) -> None:
        """The same key of another client is another name."""
        async with self._opened(tmp_path) as store:
            assert await store.claim(_NAME, b"r", _ME) is None
            assert await store.claim(RecordingName("bob", _NAME.key), b"r", _ME) is None
            assert await store.claim(RecordingName("alice\0key", "1"), b"r", _ME) is None

    async def test_a_released_name_is_free(self, tmp_path: Path) -> None:
        """Only its producer can release it, and a complete response stays."""
        async with self._opened(tmp_path) as store:
            await store.claim(_NAME, b"r", _ME)
            await store.release(_NAME, _OTHER)
            assert await store.claim(_NAME, b"r", _ME) == Claim(b"r", _ME)
            await store.release(_NAME, _ME)
            assert await store.claim(_NAME, b"r2", _ME) is None
            await store.finish(_NAME, _ME, b"response")
            await store.release(_NAME, _ME)
            assert await store.claim(_NAME, b"r2", _ME) == Claim(b"r2", _ME, b"response")

    async def test_the_request_of_an_ended_producer_is_interrupted(self, tmp_path: Path) -> None:
        """A complete response of one is not."""
        async with self._opened(tmp_path) as store:
            await store.claim(_NAME, b"r", _OTHER)
            done = RecordingName("alice", "key-2")
            await store.claim(done, b"r", _OTHER)
            await store.finish(done, _OTHER, b"response")
            assert await store.claim(_NAME, b"r", _ME) == Claim(b"r", _OTHER, interrupted=True)
            assert await store.claim(done, b"r", _ME) == Claim(b"r", _OTHER, b"response")

    async def test_only_the_producer_finishes_and_only_once(self, tmp_path: Path) -> None:
        """Later calls change nothing."""
        async with self._opened(tmp_path) as store:
            await store.claim(_NAME, b"r", _ME)
            assert not await store.finish(_NAME, _OTHER, b"wrong")
            assert await store.finish(_NAME, _ME, b"response")
            assert not await store.finish(_NAME, _ME, b"wrong")
            assert await store.claim(_NAME, b"r", _ME) == Claim(b"r", _ME, b"response")

    async def test_responses_expire(self, tmp_path: Path) -> None:
        """Exactly after their time to live, counted from the request."""
        clock = Clock()
        async with self._opened(tmp_path, clock) as store:
            await store.claim(_NAME, b"r", _ME)
            clock.now += 9
            await store.finish(_NAME, _ME, b"response")
            assert await store.claim(_NAME, b"r", _ME) == Claim(b"r", _ME, b"response")
            clock.now += 1
            assert await store.claim(_NAME, b"r", _ME) is None

    async def test_a_full_store_deletes_the_oldest_of_the_largest_owner(self, tmp_path: Path) -> None:
        """So one client cannot push out the responses of others. A response larger than the store is not stored."""
        clock = Clock()
        async with self._opened(tmp_path, clock) as store:
            small = RecordingName("bob", "small")
            await store.claim(small, b"r", _ME)
            await store.finish(small, _ME, b"s")
            for number in range(4):
                clock.now += 1
                name = RecordingName("alice", str(number))
                await store.claim(name, b"r", _ME)
                assert await store.finish(name, _ME, b"x" * 3000)
            assert await store.claim(small, b"r", _ME) == Claim(b"r", _ME, b"s")
            assert await store.claim(RecordingName("alice", "0"), b"r", _ME) is None
            assert await store.claim(RecordingName("alice", "1"), b"r", _ME) == Claim(b"r", _ME, b"x" * 3000)
            huge = RecordingName("alice", "huge")
            await store.claim(huge, b"r", _ME)
            assert not await store.finish(huge, _ME, b"x" * 10_001)
            assert await store.claim(huge, b"r", _ME) is None

    async def test_responses_survive_a_restart(self, tmp_path: Path) -> None:
        """Closing is idempotent."""
        async with self._opened(tmp_path) as store:
            await store.claim(_NAME, b"r", _ME)
            await store.finish(_NAME, _ME, b"response")
            await store.aclose()
        async with self._opened(tmp_path) as store:
            assert await store.claim(_NAME, b"r", _ME) == Claim(b"r", _ME, b"response")
