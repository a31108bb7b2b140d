"""The response cache in Redis: the suite of all response caches, and what only many nodes see."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from engine_fixtures import RedisProcess, opened_redis

from dragoman.stores.crypto import Cipher
from dragoman.stores.redis.response_cache import RedisResponseCache
from dragoman.stores.response_cache import ResponseCache
from dragoman.testing.key_values import Clock
from dragoman.testing.response_cache import ResponseCacheSuite

KEY = b"k" * 32


class TestRedisResponseCache(ResponseCacheSuite):
    """The suite."""

    @pytest.fixture(autouse=True)
    def _server(self, redis_process: RedisProcess) -> None:
        self.process = redis_process

    def opened(self, where: Path, ttl: float, size: int, clock: Clock) -> AbstractAsyncContextManager[ResponseCache]:
        """Open a cache of its own."""
        return opened_cache(self.process, where, ttl, size, clock)


@asynccontextmanager
async def opened_cache(
    process: RedisProcess, where: Path, ttl: float, size: int, clock: Clock
) -> AsyncIterator[ResponseCache]:
    """Open a cache."""
    async with opened_redis(process, where) as redis:
        yield RedisResponseCache(redis, Cipher(KEY), ttl=ttl, size=size, clock=clock)


async def test_nodes_share_it_and_its_size(redis_process: RedisProcess, tmp_path: Path) -> None:
    """What one has put another finds, encrypted. A node with another key finds nothing."""
    async with opened_redis(redis_process, tmp_path) as redis:
        one, two = (RedisResponseCache(redis, Cipher(KEY), ttl=60, size=3000) for _ in range(2))
        await one.put("a", b"a planted text" * 50)
        found = await two.get("a")
        assert found is not None
        assert found.value == b"a planted text" * 50
        raw = await redis.execute("HGET", redis.name("cache", "value:a"), "data")
        assert b"planted" not in raw
        other = RedisResponseCache(redis, Cipher(b"o" * 32), ttl=60, size=3000)
        assert await other.get("a") is None
        for name in "bcd":
            await two.put(name, b"x" * 900)
        assert await one.get("a") is None
        assert (one.used() or 0) <= 3000


async def test_it_may_be_lost_or_away(own_redis: RedisProcess, tmp_path: Path) -> None:
    """Values are missing then, and that is no error."""
    async with opened_redis(own_redis, tmp_path) as redis:
        cache = RedisResponseCache(redis, Cipher(KEY), ttl=60, size=5000)
        await cache.put("a", b"1" * 1000)
        await redis.execute("DEL", redis.name("cache", "order"))
        for name in "bcdef":
            await cache.put(name, b"1" * 1000)
        assert (cache.used() or 0) <= 5000
        await redis.execute("FLUSHALL")
        assert await cache.get("f") is None
        assert cache.failure() is None
        own_redis.stop()
        await cache.put("a", b"1")
        assert await cache.get("a") is None
        await cache.delete("a")
        assert "ConnectionError" in str(cache.failure())
