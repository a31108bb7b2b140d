"""Chooses the engines: files of the state directory, or a PostgreSQL server for many nodes, and a Redis server."""

import hashlib
import importlib.util
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dragoman.config.loading import BadSettings
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.core import log
from dragoman.server.peer_channel import split_address
from dragoman.stores.crypto import key_of_file
from dragoman.stores.ledger import SharedLimits
from dragoman.stores.sql.stores import Stores
from dragoman.stores.sqlite.stores import SQLiteStores

if TYPE_CHECKING:
    from dragoman.stores.postgres.stores import PostgresStores
    from dragoman.stores.redis.server import RedisServer

_MIN_KEY = 16
"""Characters of an encryption key."""


def build_stores(settings: Settings) -> Stores:
    """Open the engine that the settings name. Nothing is read or connected to yet.

    Raises:
        BadSettings: See `check_database`.
    """
    directory = settings.state_dir.expanduser()
    url, key = reveal(settings.database), reveal(settings.encryption_key)
    if not url:
        return SQLiteStores(directory)
    check_database(settings)
    from dragoman.stores.postgres.server import PostgresServer  # noqa: PLC0415 - needs the extra `postgres`
    from dragoman.stores.postgres.stores import PostgresStores  # noqa: PLC0415 - the same

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # With the host's name, for a directory that was copied; and with a file, for hosts of the same name.
    mark = hashlib.sha256(key_of_file(directory / "node.key")).hexdigest()[:8]
    node = f"{socket.gethostname()}-{mark}"
    return PostgresStores(PostgresServer(url, node=node, key=str(key).encode()))


def build_redis(settings: Settings, *, simulated: bool = False) -> "RedisServer | None":
    """Return the Redis server that the settings name, or None. It is not connected to yet. The caller closes it.

    Args:
        settings: The settings.
        simulated: Whether the simulator replaces Claude: what it costs is kept apart.

    Raises:
        BadSettings: See `check_redis`.
    """
    check_redis(settings)
    if not (url := reveal(settings.redis)):
        return None
    from dragoman.stores.redis.server import RedisServer  # noqa: PLC0415 - needs the extra `redis`

    return RedisServer(url, prefix="dragoman_simulated" if simulated else "dragoman")


def build_limits(
    settings: Settings, stores: Stores, redis: "RedisServer | None", *, simulated: bool = False
) -> SharedLimits:
    """Open the ledger and the counters of limits. With Redis, most of those are there. The caller closes it.

    Args:
        settings: The settings. They were checked.
        stores: The stores.
        redis: The Redis server.
        simulated: Whether the simulator replaces Claude.
    """
    ledger = stores.ledger(simulated=simulated)
    if redis is None:
        return ledger
    from dragoman.stores.postgres.stores import PostgresStores  # noqa: PLC0415 - needs the extra `postgres`
    from dragoman.stores.redis.limits import RedisLimits, RedisLimitsOptions  # noqa: PLC0415 - needs the extra `redis`

    if not isinstance(stores, PostgresStores):
        raise TypeError("Redis needs stores in PostgreSQL; see `check_redis`.")
    process = stores.process.encode()

    async def is_first() -> bool:
        return await stores.fact("limits in redis", process, simulated=simulated) == process

    options = RedisLimitsOptions(lease_ms=stores.lease_ms, is_first=is_first, opens=settings.open_without_redis)
    return RedisLimits(ledger, redis, stores.ms, options)


async def warn_of_another_key(stores: Stores) -> None:
    """Log if the encryption key is not that of the other nodes.

    Raises:
        StoreFailed: The database cannot be used.
    """
    if not stores.node:
        return
    from dragoman.stores.postgres.stores import PostgresStores  # noqa: PLC0415 - needs the extra `postgres`

    if isinstance(stores, PostgresStores) and not await is_key_of_database(stores):
        log.warning("database.other_key", path=stores.server.place)


async def is_key_of_database(stores: "PostgresStores") -> bool:
    """Return whether the encryption key is that of the process that was the first to ask.

    Raises:
        StoreFailed: The database cannot be used.
    """
    check = hashlib.sha256(stores.server.derived_key("check of the key")).digest()
    return await stores.fact("encryption key", check) == check


def check_redis(settings: Settings) -> None:
    """Refuse a Redis server that cannot be used.

    Raises:
        BadSettings: With what to do.
    """
    if not (url := reveal(settings.redis)):
        return
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise BadSettings("redis (--redis) is not an address of Redis: redis://:PASSWORD@HOST:6379/0")
    if importlib.util.find_spec("redis") is None:
        raise BadSettings("redis (--redis) needs the extra `redis`: pip install 'dragoman[cluster]'")
    if not settings.database:
        raise BadSettings(
            "redis (--redis) needs database (--database): Redis may lose everything, and what must not be lost is in "
            "PostgreSQL"
        )


def check_database(settings: Settings) -> None:
    """Refuse a database that cannot be used.

    Raises:
        BadSettings: With what to do.
    """
    url, key = reveal(settings.database), reveal(settings.encryption_key)
    if not url:
        if settings.node_address:
            raise BadSettings(
                "node_address (--node-address) needs database (--database): the nodes find each other there"
            )
        return
    if settings.node_address:
        try:
            split_address(settings.node_address)
        except ValueError:
            raise BadSettings(
                f"node_address (--node-address) is {settings.node_address!r}, which is not HOST:PORT, such as "
                "10.0.0.1:8901"
            ) from None
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        raise BadSettings("database (--database) is not an address of PostgreSQL: postgresql://USER:PASSWORD@HOST/NAME")
    if importlib.util.find_spec("psycopg") is None:
        raise BadSettings("database (--database) needs the extra `postgres`: pip install 'dragoman[postgres]'")
    if not key or len(key) < _MIN_KEY:
        raise BadSettings(
            "database (--database) needs encryption_key (--encryption-key), the same on all nodes: what is stored for "
            f"clients is encrypted with it. Use at least {_MIN_KEY} random characters; `openssl rand -hex 32` makes 64."
        )
