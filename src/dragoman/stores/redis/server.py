"""A Redis or Valkey server: the owner of its connections."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from dragoman.core import log
from dragoman.core.supervise import describe

Value: TypeAlias = bytes | str | int | float

_CONNECT_SECONDS = 0.5
_REPLY_SECONDS = 1.0
_AWAY_SECONDS = 1.0
"""Seconds for which a server that could not be reached is not tried again: requests must not wait for it."""
_CONNECTIONS = 16


class RedisAwayError(Exception):
    """The server cannot be reached, or refused a command. Whether the command was executed is not known."""


class Script:
    """A Lua script. The server executes it as one step.

    Args:
        source: The script.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisServer:
    """A server that all nodes share. It is connected to at the first call. The caller closes it after its users.

    It may lose everything at any time. A call whose connection was lost is repeated once, so a command that is executed
    twice must do no harm.

    Args:
        url: `redis://USER:PASSWORD@HOST:PORT/NUMBER`, `rediss://` for TLS, or `unix://PATH`.
        prefix: The first part of all names. It selects the slot, so that scripts work on a Redis Cluster, too.

    Attributes:
        place: The address, without a password.
    """

    def __init__(self, url: str, *, prefix: str = "dragoman") -> None:
        parts = urlsplit(url)
        where = parts.path if parts.scheme == "unix" else f"{parts.hostname or ''}:{parts.port or 6379}{parts.path}"
        self.place = f"{parts.scheme}://{where}"
        self._prefix = prefix
        pool = BlockingConnectionPool.from_url(
            url,
            client_name="dragoman",
            max_connections=_CONNECTIONS,
            protocol=2,
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            timeout=_REPLY_SECONDS,
        )
        self._client = Redis.from_pool(pool)
        self._client.response_callbacks.clear()  # replies are as the server sends them
        self._failure: str | None = None
        self._away_until = 0.0

    def name(self, *parts: str) -> str:
        """Return the name of a key."""
        return ":".join(("{" + self._prefix + "}", *parts))

    async def execute(self, *command: Value) -> Any:
        """Execute one command and return the server's reply, texts as bytes.

        Raises:
            RedisAwayError: It may not have been executed.
        """
        return await self._call(*command)

    async def run(self, script: Script, keys: Sequence[str], values: Sequence[Value] = ()) -> Any:
        """Run a script and return its reply.

        Args:
            script: The script.
            keys: The names of all keys that it uses: `KEYS`.
            values: Its values: `ARGV`.

        Raises:
            RedisAwayError: It may not have been executed.
        """
        try:
            return await self._run_loaded(script, keys, values)
        except NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *values)

    async def run_if_loaded(self, script: Script, keys: Sequence[str], values: Sequence[Value] = ()) -> Any:
        """Run a script only if this server process has loaded it. Otherwise return None; see `run`."""
        try:
            return await self._run_loaded(script, keys, values)
        except NoScriptError:
            return None

    def failures(self) -> Mapping[str, str]:
        """Return why the last call failed; see `dragoman.core.supervise.ReportsFailures`."""
        return {"redis": self._failure} if self._failure else {}

    async def aclose(self) -> None:
        """Disconnect. Idempotent. No call may follow."""
        await self._client.aclose()

    async def _run_loaded(self, script: Script, keys: Sequence[str], values: Sequence[Value]) -> Any:
        return await self._call("EVALSHA", script.sha, len(keys), *keys, *values)

    async def _call(self, *command: Value) -> Any:
        if time.monotonic() < self._away_until:
            raise RedisAwayError(self._failure)
        try:
            reply = await self._client.execute_command(*command)  # type: ignore[no-untyped-call] # the library's
        except NoScriptError:
            raise
        except (RedisError, OSError) as error:
            self._note(error)
            raise RedisAwayError(self._failure) from error
        if self._failure is not None:
            self._failure = None
            log.info("redis.back", path=self.place)
        return reply

    def _note(self, error: Exception) -> None:
        if isinstance(error, RedisConnectionError | RedisTimeoutError | OSError):
            self._away_until = time.monotonic() + _AWAY_SECONDS
        if self._failure is None:
            log.warning("redis.away", path=self.place, error=describe(error))
        self._failure = describe(error)
