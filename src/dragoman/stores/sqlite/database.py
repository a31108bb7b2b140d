"""What every store in a file needs: one thread that owns the connection, transactions, migrations, modes."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeAlias, TypeVar

Work: TypeAlias = "Callable[[sqlite3.Connection], _T]"
"""What is done with the connection, in its thread; it keeps no cursor open when it returns."""

Migrations: TypeAlias = Sequence[Sequence[str]]
"""The statements that lead from each version of a file to the next. Only ever added to."""

_BUSY_SECONDS = 10.0
_OWNER_ONLY = 0o600

_T = TypeVar("_T")


class Database:
    """A file of SQLite. Nothing is touched before the first call; several processes may share it.

    One thread does all the work, in the order of the calls, so SQLite never blocks the event loop. A call that is
    cancelled while it waits for its turn is not done; one that has begun is done whole. The file and what SQLite puts
    beside it are readable by their owner alone.

    Args:
        path: The file; it is made, with its folder, where there is none.
        migrations: They are run as far as the file has not seen them. One file belongs to one list.
    """

    def __init__(self, path: Path, migrations: Migrations) -> None:
        self.path = path
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None
        self._closing = False

    async def read(self, work: "Work[_T]") -> _T:
        """Look something up, in one transaction: all that it sees is of one moment.

        Raises:
            sqlite3.Error: The file cannot be used, or a newer version of Dragoman has written it.
            OSError: The same.
        """
        return await self._run("DEFERRED", work)

    async def write(self, work: "Work[_T]") -> _T:
        """Change something, in one transaction: all of it is done and safe from a crash of the process, or nothing.

        Raises:
            sqlite3.Error: As `read` does.
            OSError: The same.
        """
        return await self._run("IMMEDIATE", work)

    async def aclose(self) -> None:
        """Finish what was begun and close the file. Idempotent; nothing may be called after it."""
        if not self._closing:
            self._closing = True
            self._thread.submit(self._disconnect)
        # Shielded: a cancelled close would leave the thread and the file behind.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown))

    async def _run(self, kind: str, work: "Work[_T]") -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, kind, work)

    # In the thread.

    def _transaction(self, kind: str, work: "Work[_T]") -> _T:
        connection = self._opened()
        with connection:
            connection.execute(f"BEGIN {kind}")
            return work(connection)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite gives its own files beside this one the same mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, _OWNER_ONLY))
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL").close()
        # In this mode a crash of the process loses nothing; one of the machine, at most the last moments.
        connection.execute("PRAGMA synchronous=NORMAL").close()
        connection.execute("PRAGMA foreign_keys=ON").close()
        with connection:
            # At once, so that of two processes one migrates and the other sees it done.
            connection.execute("BEGIN IMMEDIATE")
            self._migrate(connection)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            (version,) = cursor.fetchone()
        if version > len(self._migrations):
            raise sqlite3.DatabaseError(
                f"{self.path} was written by a newer version of Dragoman (its format {version}, known here: "
                f"{len(self._migrations)}): run that version, or move the file away"
            )
        for migration in self._migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
