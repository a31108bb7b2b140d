"""`dragoman doctor --cluster`: checks the servers that the nodes share, and that this machine fits to the others."""

import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable

from dragoman import __version__
from dragoman.backends.claude_code.doctor.report import Finding
from dragoman.config.settings import Settings
from dragoman.core.errors import StoreFailed
from dragoman.core.supervise import describe
from dragoman.stores.postgres.database import PostgresDatabase
from dragoman.stores.postgres.server import ENDED_SECONDS
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.redis.server import RedisAwayError, RedisServer
from dragoman.stores.sql.database import Connection
from dragoman.wiring.stores import build_redis, build_stores, is_key_of_database

_MAX_SKEW = 2.0
"""Seconds by which the clock of this machine may differ."""
_MAX_LATENCY = 0.02
"""Seconds of a round trip. Every request that must borrow waits for one or more."""
_MIN_POSTGRES = 130_000
_MIN_REDIS = 7
_PINGS = 9
_NODES = f"""
SELECT version, count(*) FROM processes
WHERE address <> '' AND seen > extract(epoch FROM clock_timestamp()) - {ENDED_SECONDS} GROUP BY version ORDER BY version
"""  # noqa: S608 - a constant
_SYNC_ADVICE = "Synchronise the clocks of all machines (NTP). Limits do not depend on them; logs and expiry dates do."
_LATENCY_ADVICE = "Run it in the same network as the nodes: requests wait for it when a node must borrow."


async def check_cluster(settings: Settings) -> AsyncGenerator[Finding]:
    """Yield the result of each check. What depends on a server that cannot be reached is not checked.

    Args:
        settings: The settings, with a database. They were checked.

    Raises:
        BadSettings: See `dragoman.wiring.stores.build_stores`.
    """
    stores = build_stores(settings)
    redis = build_redis(settings)
    if not isinstance(stores, PostgresStores):
        raise TypeError("The caller checks that there is a database.")
    try:
        async for finding in _check_postgres(stores):
            yield finding
        if redis is None:
            detail = "none: limits are in PostgreSQL, and each node has a response cache of its own"
            yield Finding("Redis", ok=True, detail=detail)
        else:
            async for finding in _check_redis(redis):
                yield finding
    finally:
        if redis is not None:
            await redis.aclose()
        await stores.aclose()


async def _check_postgres(stores: PostgresStores) -> AsyncGenerator[Finding]:
    server = PostgresDatabase(stores.server, "doctor", _failed)
    place = stores.server.place
    try:
        number, name = await server.read(_version)
    except StoreFailed as error:
        advice = "Check the address, the password and the firewall, and that the server runs (--database)."
        yield Finding("PostgreSQL", ok=False, detail=f"{place}: {error.message}", advice=advice)
        return
    advice = "Use PostgreSQL 13 or newer."
    yield Finding("PostgreSQL", ok=number >= _MIN_POSTGRES, detail=f"version {name} at {place}", advice=advice)
    yield await _latency("PostgreSQL: latency", lambda: server.read(_nothing))
    yield _clock("PostgreSQL: clock", time.time() - await server.read(_clock_of))
    is_same = await is_key_of_database(stores)
    detail = "the same as that of the other nodes" if is_same else "not that of the node that was started first"
    advice = "Give all nodes the same key (--encryption-key-file): what others have stored cannot be read with this."
    yield Finding("encryption key", ok=is_same, detail=detail, advice=advice)
    yield await _nodes(server)


async def _nodes(server: PostgresDatabase) -> Finding:
    versions = Counter(dict(await server.read(lambda db: db.execute(_NODES).fetchall())))
    if not versions:
        detail = "none with --node-address runs"
        return Finding("nodes", ok=True, detail=detail)
    shown = ", ".join(f"{count} of version {version}" for version, count in versions.items())
    detail = f"{shown}; this is version {__version__}"
    advice = "Finish the upgrade: two versions work together, but not for long."
    return Finding("nodes", ok=set(versions) == {__version__}, detail=detail, advice=advice)


async def _check_redis(redis: RedisServer) -> AsyncGenerator[Finding]:
    try:
        info = dict(
            line.split(":", 1) for line in (await redis.execute("INFO", "server")).decode().splitlines() if ":" in line
        )
        seconds, micros = await redis.execute("TIME")
        await redis.execute("EVAL", "return redis.call('SET', KEYS[1], 1, 'PX', 1000)", 1, redis.name("doctor"))
    except RedisAwayError as error:
        advice = "Check the address, the password and the firewall, and that the server runs (--redis)."
        yield Finding("Redis", ok=False, detail=f"{redis.place}: {error}", advice=advice)
        return
    kind, version = ("Valkey", info["valkey_version"]) if "valkey_version" in info else ("Redis", info["redis_version"])
    is_new = int(version.split(".")[0]) >= _MIN_REDIS
    yield Finding(
        kind, ok=is_new, detail=f"version {version} at {redis.place}", advice="Use Redis or Valkey 7 or newer."
    )
    yield await _latency(f"{kind}: latency", lambda: redis.execute("PING"))
    yield _clock(f"{kind}: clock", time.time() - int(seconds) - int(micros) / 1e6)


async def _latency(name: str, call: Callable[[], Awaitable[object]]) -> Finding:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        await call()
        times.append(time.perf_counter() - began)
    median = statistics.median(times)
    return Finding(name, ok=median <= _MAX_LATENCY, detail=f"{median * 1000:.1f} ms", advice=_LATENCY_ADVICE)


def _clock(name: str, ahead: float) -> Finding:
    detail = f"this machine is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    return Finding(name, ok=abs(ahead) <= _MAX_SKEW, detail=detail, advice=_SYNC_ADVICE)


def _failed(_place: str, error: Exception) -> StoreFailed:
    return StoreFailed(" ".join(describe(error).split()))


# These run in a thread of the server.


def _version(db: Connection) -> tuple[int, str]:
    [number, name] = db.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')"
    ).fetchone()
    return number, name


def _nothing(db: Connection) -> None:
    db.execute("SELECT 1").close()


def _clock_of(db: Connection) -> float:
    [seconds] = db.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    return float(seconds)
