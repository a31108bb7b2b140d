"""Starts the engines of a cluster for tests, from Debian's packages: each in a temporary folder, on a socket there."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from dragoman.stores.postgres.schema import MIGRATIONS
from dragoman.stores.postgres.server import PostgresServer

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
    """Start a server. Its data is lost if the machine crashes, and gone at the end."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        if os.environ.get("CI") == "true":
            raise FileNotFoundError("The package postgresql is not installed.")
        pytest.skip("The package postgresql is not installed.")
    user = "postgres" if os.geteuid() == 0 else None  # the server does not run as root
    # Not in the folder of the test, which other users cannot read.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = Postgres(f"postgresql://postgres@/postgres?host={folder}", found[-1].parent, folder / "data", user)
    try:
        if user:
            shutil.chown(folder, user)
        _run([server.bin / "initdb", "-D", server.data, "-U", "postgres", "-A", "trust", "--no-sync"], user)
        options = f"unix_socket_directories = '{folder}'\nlisten_addresses = ''\nfsync = off\nmax_connections = 200\n"
        (server.data / "postgresql.auto.conf").write_text(options)
        server.control("start")
        try:
            yield server
        finally:
            server.control("-m", "immediate", "stop")
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


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
