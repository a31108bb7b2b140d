"""Starts the engines of a cluster for tests, from Debian's packages: each in a temporary folder, on a socket there."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from dragoman.stores.postgres.schema import MIGRATIONS
from dragoman.stores.postgres.server import PostgresServer
from dragoman.stores.redis.server import RedisServer

KEY = b"a key that all nodes have"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        url: Its address.
        bin: The folder of its programs.
        data: Its data.
        user: The user that it runs as, if it may not be that of the tests.
    """

    url: str
    bin: Path
    data: Path
    user: str | None

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl`."""
        _run([self.bin / "pg_ctl", "-D", self.data, "-l", self.data / "log", "-w", *arguments], self.user)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL server that all tests of a process share."""
    with started_postgres() as server:
        yield server


@contextmanager
def started_postgres(host: str = "") -> Iterator[Postgres]:
    """Start a server. Its data is lost if the machine crashes, and gone at the end.

    Args:
        host: An address of this machine that it listens on, for everyone who reaches it; empty: on a socket only.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        if os.environ.get("CI") == "true":
            raise FileNotFoundError("The package postgresql is not installed.")
        pytest.skip("The package postgresql is not installed.")
    user = "postgres" if os.geteuid() == 0 else None  # the server does not run as root
    # Not in the folder of the test, which other users cannot read.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    url = f"postgresql://postgres@{host}/postgres" if host else f"postgresql://postgres@/postgres?host={folder}"
    server = Postgres(url, found[-1].parent, folder / "data", user)
    try:
        if user:
            shutil.chown(folder, user)
        _run([server.bin / "initdb", "-D", server.data, "-U", "postgres", "-A", "trust", "--no-sync"], user)
        options = (
            f"unix_socket_directories = '{folder}'\nlisten_addresses = '{host}'\nfsync = off\nmax_connections = 200\n"
        )
        (server.data / "postgresql.auto.conf").write_text(options)
        if host:
            with (server.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet trust\n")
        server.control("start")
        try:
            yield server
        finally:
            server.control("-m", "immediate", "stop")
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


@dataclass
class RedisProcess:
    """A Redis server on a socket in a folder.

    Attributes:
        url: Its address.
        folder: Its folder.
        host: An address of this machine that it listens on, with Redis's usual port; empty: on a socket only.
    """

    url: str
    folder: Path
    host: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it listens. It has no data."""
        own: list[str | Path] = [
            "--unixsocket",
            self.folder / "redis.sock",
            "--dir",
            self.folder,
            "--logfile",
            self.folder / "log",
        ]
        where = ["--bind", self.host, "--protected-mode", "no"] if self.host else ["--port", "0"]
        command: list[str | Path] = ["redis-server", *where, "--save", "", "--enable-debug-command", "yes", *own]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own words
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Kill the server."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.folder / "redis.sock"))
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
            except OSError:
                return False


@pytest.fixture(scope="session")
def redis_process() -> Iterator[RedisProcess]:
    """Start a Redis server that all tests of a process share; each takes a prefix of its own."""
    with started_redis() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """Start a Redis server for one test, which may stop it and flush it."""
    with started_redis() as server:
        yield server


@contextmanager
def started_redis(host: str = "") -> Iterator[RedisProcess]:
    """Start a Redis server, without any data. See `RedisProcess.host`."""
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            raise FileNotFoundError("The package redis-server is not installed.")
        pytest.skip("The package redis-server is not installed.")
    # Not in the folder of the test, whose path is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisProcess(f"redis://{host}:6379" if host else f"unix://{folder}/redis.sock", folder, host)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@asynccontextmanager
async def opened_redis(server: RedisProcess, where: Path) -> AsyncIterator[RedisServer]:
    """Open a server for what shares a directory."""
    opened = RedisServer(server.url, prefix=schema_of(where))
    try:
        yield opened
    finally:
        await opened.aclose()


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> str:
    """Make a database of the test's own, and return its address."""
    name = schema_of(tmp_path)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.url.replace("/postgres?", f"/{name}?")


def schema_of(where: Path) -> str:
    """Return the name of a schema for a directory: what shares the directory shares the tables."""
    return f"test_{abs(hash(str(where))):x}"


@asynccontextmanager
async def opened_server(
    postgres: Postgres, where: Path, *, node: str = "node", migrations: Sequence[str] = MIGRATIONS
) -> AsyncIterator[PostgresServer]:
    """Open a server for what shares a directory."""
    server = PostgresServer(postgres.url, node=node, key=KEY, schema=schema_of(where), migrations=migrations)
    try:
        yield server
    finally:
        await server.aclose()


def _run(command: list[Path | str], user: str | None) -> None:
    subprocess.run(command, user=user, check=True, capture_output=True, cwd="/", timeout=120)  # noqa: S603 - our own words
