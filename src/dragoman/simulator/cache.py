"""The prompt cache: prefixes that end in a mark, kept for five minutes or an hour, by credential and model."""

import time
from collections import OrderedDict
from dataclasses import dataclass

from dragoman.core.messages import JSONObject
from dragoman.simulator.cache_prefix import Point
from dragoman.simulator.request import Call

_LOOKBACK = 20
_MOST = 10_000
_SECONDS = {"5m": 300.0, "1h": 3600.0}


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Input tokens by where they came from.

    Attributes:
        read: From the cache.
        written_5m: Written to it for five minutes.
        written_1h: Written to it for an hour.
        fresh: Neither.
    """

    read: int
    written_5m: int
    written_1h: int
    fresh: int

    def usage(self) -> JSONObject:
        """The input side of `usage`."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
        }


class PromptCache:
    """What was cached, oldest first out."""

    def __init__(self) -> None:
        self._expires: OrderedDict[bytes, float] = OrderedDict()

    def use(self, call: Call) -> CacheUse:
        """Read what is cached of a prompt, and cache it up to its last mark."""
        passed = call.points
        total = passed[-1].tokens if passed else 0
        marks = [place for place, point in enumerate(passed) if _marked(call, point, passed)]
        marks = [place for place in marks if passed[place].tokens >= call.model.cacheable_tokens]
        if not marks:
            return CacheUse(0, 0, 0, total)
        scope = f"{call.credential}/{call.model.id}/".encode()
        now = time.monotonic()
        read = self._longest(passed, marks, scope, now)
        written = {"5m": 0, "1h": 0}
        done = read
        for place in marks:
            ttl = "1h" if passed[place].mark.get("ttl") == "1h" else "5m"
            written[ttl] += max(passed[place].tokens - done, 0)
            done = max(done, passed[place].tokens)
            self._keep(scope + passed[place].through, now + _SECONDS[ttl])
        return CacheUse(read, written["5m"], written["1h"], total - done)

    def _longest(self, passed: list[Point], marks: list[int], scope: bytes, now: float) -> int:
        """The tokens of the longest cached prefix that ends at a mark, or up to 20 blocks before one."""
        for mark in reversed(marks):
            for point in passed[mark : mark - _LOOKBACK if mark >= _LOOKBACK else None : -1]:
                if self._expires.get(scope + point.through, 0.0) > now:
                    return point.tokens
        return 0

    def _keep(self, key: bytes, until: float) -> None:
        self._expires[key] = max(until, self._expires.get(key, 0.0))
        self._expires.move_to_end(key)
        while len(self._expires) > _MOST:
            self._expires.popitem(last=False)


def _marked(call: Call, point: Point, passed: list[Point]) -> bool:
    """Whether a block ends a prefix to cache; a mark of the whole request is one on its last block."""
    return bool(point.mark) or (point is passed[-1] and isinstance(call.body.get("cache_control"), dict))
