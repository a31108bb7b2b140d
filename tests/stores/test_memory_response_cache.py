"""The response cache in memory: the suite of all response caches."""

from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

from dragoman.stores.response_cache import MemoryResponseCache
from dragoman.testing.key_values import Clock
from dragoman.testing.response_cache import ResponseCacheSuite


class TestMemoryResponseCache(ResponseCacheSuite):
    """The suite."""

    def opened(
        self,
        where: Path,  # noqa: ARG002 - it needs no file
        ttl: float,
        size: int,
        clock: Clock,
    ) -> AbstractAsyncContextManager[MemoryResponseCache]:
        """Open a cache in memory."""
        return aclosing(MemoryResponseCache(ttl=ttl, size=size, clock=clock))
