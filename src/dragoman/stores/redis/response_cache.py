"""A `ResponseCache` in Redis: all nodes share it, and it is encrypted."""

from collections.abc import Callable
from typing import Any, Final

from dragoman.core import log
from dragoman.stores.crypto import Cipher
from dragoman.stores.redis.server import RedisAwayError, RedisServer, Script
from dragoman.stores.response_cache import CachedValue

_OVERHEAD = 400
"""Bytes that an entry takes in addition to its value."""

_COMMON = """
-- KEYS: when each value was last used; sizes, with their sum under ""; the value. ARGV: the time or -1; the name
local order, sizes, value = KEYS[1], KEYS[2], KEYS[3]
local now = tonumber(ARGV[1])
if now < 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function forget(name)
    local size = redis.call('HGET', sizes, name)
    if size then redis.call('HINCRBY', sizes, '', -size) end
    redis.call('HDEL', sizes, name)
    redis.call('ZREM', order, name)
    redis.call('DEL', string.sub(value, 1, #value - #ARGV[2]) .. name)
end
"""
_GET = Script(
    _COMMON
    + """
local found = redis.call('HMGET', value, 'at', 'data')
if not found[1] or now - found[1] >= tonumber(ARGV[3]) then
    forget(ARGV[2])
    return {false, 0, tonumber(redis.call('HGET', sizes, '')) or 0}
end
redis.call('ZADD', order, now, ARGV[2])
return {found[2], now - found[1], tonumber(redis.call('HGET', sizes, '')) or 0}
"""
)
_PUT = Script(
    _COMMON
    + """
-- ARGV: the time to live; the maximum of all sizes; the size of this value; the value
local ttl, most, size = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
forget(ARGV[2])
if size <= most then
    redis.call('HSET', value, 'at', now, 'data', ARGV[6])
    redis.call('PEXPIRE', value, math.ceil(ttl) + 1000)
    redis.call('ZADD', order, now, ARGV[2])
    redis.call('HSET', sizes, ARGV[2], size)
    redis.call('HINCRBY', sizes, '', size)
end
-- What has expired was used last before that. The rest are the values unused for longest.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', order, '-inf', now - 2 * ttl, 'LIMIT', 0, 100)) do forget(name) end
while (tonumber(redis.call('HGET', sizes, '')) or 0) > most do
    local oldest = redis.call('ZRANGE', order, 0, 0)[1]
    if not oldest then
        redis.call('DEL', sizes)  -- the order was lost: values that it named expire
        break
    end
    forget(oldest)
end
return tonumber(redis.call('HGET', sizes, '')) or 0
"""
)
_DELETE = Script(_COMMON + "forget(ARGV[2])\nreturn tonumber(redis.call('HGET', sizes, '')) or 0\n")


class RedisResponseCache:
    """A `ResponseCache` that many nodes share. The maximum size is that of all of them together.

    Args:
        redis: The server. The caller closes it.
        cipher: Encrypts the values. All nodes have the same key.
        ttl: Seconds that a value is stored.
        size: The maximum number of bytes of all entries.
        clock: Seconds; None: the server's clock.
    """

    def __init__(
        self, redis: RedisServer, cipher: Cipher, *, ttl: float, size: int, clock: Callable[[], float] | None = None
    ) -> None:
        self._redis: Final = redis
        self._cipher = cipher
        self._ttl_ms = ttl * 1000
        self._size = size
        self._clock = clock
        self._used: int | None = None
        self._failure: str | None = None

    async def get(self, name: str) -> CachedValue | None:
        """See `ResponseCache.get`."""
        reply = await self._run(_GET, name, self._ttl_ms)
        if reply is None:
            return None
        [data, age_ms, self._used] = reply
        value = self._cipher.decrypt(data, name) if data else None
        return None if value is None else CachedValue(value, max(0, age_ms) / 1000)

    async def put(self, name: str, value: bytes) -> None:
        """See `ResponseCache.put`."""
        data = self._cipher.encrypt(value, name) if len(value) <= self._size else b""
        size = max(len(data), len(value)) + len(name) + _OVERHEAD
        await self._run_counted(_PUT, name, self._ttl_ms, self._size, size, data)

    async def delete(self, name: str) -> None:
        """See `ResponseCache.delete`."""
        await self._run_counted(_DELETE, name)

    def used(self) -> int | None:
        """See `ResponseCache.used`. It is the size when the cache was last used here."""
        return self._used

    def failure(self) -> str | None:
        """See `ResponseCache.failure`."""
        return self._failure

    async def aclose(self) -> None:
        """See `ResponseCache.aclose`. The server is closed on its own."""

    async def _run_counted(self, script: Script, name: str, *values: float | bytes) -> None:
        if (used := await self._run(script, name, *values)) is not None:
            self._used = int(used)

    async def _run(self, script: Script, name: str, *values: float | bytes) -> Any:
        keys = [self._redis.name("cache", part) for part in ("order", "sizes", f"value:{name}")]
        now = -1 if self._clock is None else int(self._clock() * 1000)
        try:
            reply = await self._redis.run(script, keys, [now, name, *values])
        except RedisAwayError as error:
            self._failure = str(error)
            log.debug("cache.away", error=self._failure)
            return None
        self._failure = None
        return reply
