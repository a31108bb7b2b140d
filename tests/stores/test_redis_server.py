"""The owner of connections to Redis: its calls, and what happens when the server is gone."""

from pathlib import Path

import pytest
from engine_fixtures import RedisProcess, opened_redis

from dragoman.stores.redis.server import RedisAwayError, RedisServer, Script

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_commands_and_scripts(redis_process: RedisProcess, tmp_path: Path) -> None:
    """Also a script that the server does not know yet, or has forgotten."""
    async with opened_redis(redis_process, tmp_path) as server:
        await server.execute("SET", server.name("a"), b"\0bytes")
        assert await server.execute("GET", server.name("a")) == b"\0bytes"
        for total in (2, 4):
            assert await server.run(ADD, [server.name("n")], [2]) == total
        await server.execute("SCRIPT", "FLUSH")
        assert await server.run(ADD, [server.name("n")], [2]) == 6


async def test_a_server_that_is_gone_is_replaced_without_an_error(own_redis: RedisProcess, tmp_path: Path) -> None:
    """While it is gone calls fail at once and readiness says why. An error of one command does not stop others."""
    async with opened_redis(own_redis, tmp_path) as server:
        await server.execute("PING")
        own_redis.stop()
        own_redis.start()
        assert await server.execute("PING")
        own_redis.stop()
        for _ in range(2):
            with pytest.raises(RedisAwayError):
                await server.execute("PING")
        assert list(server.failures()) == ["redis"]
        own_redis.start()
        server._away_until = 0.0
        assert await server.execute("PING")
        assert server.failures() == {}
        with pytest.raises(RedisAwayError, match="unknown command"):
            await server.execute("NOT-A-COMMAND")
        assert await server.execute("PING")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://me:secret@h:7000/1", "redis://h:7000/1"),
        ("rediss://:secret@h", "rediss://h:6379"),
        ("unix://:secret@/tmp/r.sock", "unix:///tmp/r.sock"),
    ],
)
async def test_a_place_has_no_password(url: str, place: str) -> None:
    """It is logged."""
    server = RedisServer(url)
    assert server.place == place
    await server.aclose()
