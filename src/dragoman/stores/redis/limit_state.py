"""The state of limits in Redis, and the epoch that it belongs to."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from dragoman.core import log
from dragoman.stores.redis.limit_scripts import OPEN, main_script, mark_script
from dragoman.stores.redis.server import RedisAwayError, RedisServer, Script

_MAX_JOINS = 5
"""Attempts to find or begin an epoch, while others do the same."""


class LimitState:
    """The state of limits that all nodes share.

    Args:
        redis: The server.
        is_first: Returns whether there has never been a state. Called once. Of all nodes one is answered so.
        first_wait: Seconds for which a node that finds no state when it starts waits for that of the first one.
        settle_ms: Milliseconds after a loss until which workers may report what they had borrowed.
        uses_server_clock: Whether times are those of the server's clock; else those of the calls.

    Attributes:
        epoch: The id of the state; "" before the first call.
        is_settled: Whether all workers have reported.
    """

    def __init__(
        self,
        redis: RedisServer,
        is_first: Callable[[], Awaitable[bool]],
        *,
        first_wait: float,
        settle_ms: int,
        uses_server_clock: bool,
    ) -> None:
        self.epoch = ""
        self.is_settled = False
        self._redis = redis
        self._is_first = is_first
        self._first_wait = first_wait
        self._settle_ms = settle_ms
        self._uses_server_clock = uses_server_clock
        self._key = redis.name("limits")
        self._script = main_script("")
        self._joining = asyncio.Lock()
        self._has_begun = False

    async def call(self, request: Mapping[str, object] | Callable[[], Mapping[str, object]], ms: int) -> list[Any]:
        """Run the script in the current epoch, or begin one.

        Args:
            request: The request, or what makes it when the epoch is known: it is called for each attempt.
            ms: The time.

        Raises:
            RedisAwayError: It may not have been executed.
        """
        now = -1 if self._uses_server_clock else ms
        for _ in range(_MAX_JOINS):
            epoch = self.epoch
            if epoch:
                made = request() if callable(request) else request
                sent = {
                    "settle": self._settle_ms,
                    "held": {},
                    "given": [],
                    "asks": [],
                    "states": [],
                    "gone": [],
                    **made,
                }
                body = msgspec.json.encode({name: value for name, value in sent.items() if value is not None})
                reply = await self._redis.run_if_loaded(self._script, [self._key], [now, body])
                if reply and reply[0] == b"late":
                    raise RedisAwayError("A call was overtaken by another one of the same process.")
                if reply and reply[0] != b"lost":
                    if reply[0] != b"refused":
                        self.is_settled = reply[0] == b"ok" and bool(reply[1])
                    return list(reply)
            await self._join(epoch, now)
        raise RedisAwayError("The state of the limits is being lost again and again.")

    async def _join(self, old: str, now: int) -> None:
        """Find the epoch of this server process, or begin one."""
        async with self._joining:
            if self.epoch != old:
                return  # another call has done it
            found = await self._redis.execute("HGET", self._key, "epoch")
            current = found.decode() if found else ""
            if current not in {"", old} and await self._has_loaded(current):
                self._enter(current, is_settled=False)
                return
            new = secrets.token_hex(8)
            is_first = not self._has_begun and await self._is_first()
            self._has_begun = True
            if not is_first and not old and not current:
                await asyncio.sleep(self._first_wait)
                if await self._redis.execute("EXISTS", self._key):
                    return
            for script in (mark_script(new), main_script(new)):
                await self._load(script)
            if await self._redis.run(OPEN, [self._key], [now, current, new, int(is_first)]):
                self._enter(new, is_settled=is_first)
                if not is_first:
                    log.warning("limits.lost", path=self._redis.place)

    def _enter(self, epoch: str, *, is_settled: bool) -> None:
        self.epoch, self.is_settled, self._script = epoch, is_settled, main_script(epoch)

    async def _has_loaded(self, epoch: str) -> bool:
        """Load the script, if the state is of this server process: a node of another version may have begun it."""
        if not await self._is_marked(epoch):
            return False
        await self._load(main_script(epoch))
        return await self._is_marked(epoch)  # the server was not restarted in between

    async def _is_marked(self, epoch: str) -> bool:
        return bool((await self._redis.execute("SCRIPT", "EXISTS", mark_script(epoch).sha))[0])

    async def _load(self, script: Script) -> None:
        await self._redis.execute("SCRIPT", "LOAD", script.source)
