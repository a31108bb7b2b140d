"""Chooses the engine of the stores: files of the state directory, or a PostgreSQL server for many nodes."""

import hashlib
import importlib.util
import socket
from urllib.parse import urlsplit

from dragoman.config.loading import BadSettings
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.stores.crypto import key_of_file
from dragoman.stores.sql.stores import Stores
from dragoman.stores.sqlite.stores import SQLiteStores

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


def check_database(settings: Settings) -> None:
    """Refuse a database that cannot be used.

    Raises:
        BadSettings: With what to do.
    """
    url, key = reveal(settings.database), reveal(settings.encryption_key)
    if not url:
        return
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        raise BadSettings("database (--database) is not an address of PostgreSQL: postgresql://USER:PASSWORD@HOST/NAME")
    if importlib.util.find_spec("psycopg") is None:
        raise BadSettings("database (--database) needs the extra `postgres`: pip install 'dragoman[postgres]'")
    if not key or len(key) < _MIN_KEY:
        raise BadSettings(
            "database (--database) needs encryption_key (--encryption-key), the same on all nodes: what is stored for "
            f"clients is encrypted with it. Use at least {_MIN_KEY} random characters; `openssl rand -hex 32` makes 64."
        )
