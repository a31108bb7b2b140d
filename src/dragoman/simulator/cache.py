"""The prompt cache: prefixes that end in a cache mark, for five minutes or an hour, by credential and model."""

import time
from collections import OrderedDict

from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.simulator.prefix import HashedBlock
from dragoman.simulator.request import ApiRequest

_LOOKBACK_BLOCKS = 20
_MAX_ENTRIES = 10_000
_TTL_SECONDS = {"5m": 300.0, "1h": 3600.0}


@value_object
class CacheUsage:
    """The input tokens of a request, by their relation to the cache.

    Attributes:
        read: Read from the cache.
        written_5m: Written to the cache for five minutes.
        written_1h: Written to the cache for an hour.
        uncached: Neither read nor written.
    """

    read: int
    written_5m: int
    written_1h: int
    uncached: int

    def usage(self) -> JSONObject:
        """Return the input side of `usage`."""
        return {
            "input_tokens": self.uncached,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
        }


class PromptCache:
    """The cached prefixes. The oldest entry is removed when there are too many."""

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def apply(self, request: ApiRequest) -> CacheUsage:
        """Read the longest cached prefix of a prompt, and cache the prompt up to its last mark."""
        blocks = request.hashed_blocks
        total = blocks[-1].tokens_through if blocks else 0
        marked = [index for index, block in enumerate(blocks) if _is_marked(request, block)]
        marked = [index for index in marked if blocks[index].tokens_through >= request.model.cacheable_tokens]
        if not marked:
            return CacheUsage(0, 0, 0, total)
        scope = f"{request.credential}/{request.model.id}/".encode()
        now = time.monotonic()
        read = cached = self._cached_tokens(blocks, marked, scope, now)
        written = {"5m": 0, "1h": 0}
        for index in marked:
            block = blocks[index]
            ttl = "1h" if block.cache_control.get("ttl") == "1h" else "5m"
            written[ttl] += max(block.tokens_through - cached, 0)
            cached = max(cached, block.tokens_through)
            self._store(scope + block.hash_through, now + _TTL_SECONDS[ttl])
        return CacheUsage(read, written["5m"], written["1h"], total - cached)

    def _cached_tokens(self, blocks: list[HashedBlock], marked: list[int], scope: bytes, now: float) -> int:
        """Return the tokens of the longest cached prefix that ends at a mark, or up to 20 blocks before one."""
        for mark in reversed(marked):
            for block in reversed(blocks[max(mark - _LOOKBACK_BLOCKS + 1, 0) : mark + 1]):
                if self._expiry.get(scope + block.hash_through, 0.0) > now:
                    return block.tokens_through
        return 0

    def _store(self, key: bytes, expiry: float) -> None:
        self._expiry[key] = max(expiry, self._expiry.get(key, 0.0))
        self._expiry.move_to_end(key)
        while len(self._expiry) > _MAX_ENTRIES:
            self._expiry.popitem(last=False)


def _is_marked(request: ApiRequest, block: HashedBlock) -> bool:
    """Return whether a block ends a prefix to cache. A mark of the whole request belongs to its last block."""
    is_last = block is request.hashed_blocks[-1]
    return bool(block.cache_control) or (is_last and isinstance(request.body.get("cache_control"), dict))
