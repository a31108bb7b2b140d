"""An SQLite file: one connection in one thread, transactions, migrations and errors. Every store in a file uses it."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypeVar

from dragoman.core.errors import StoreFailed
from dragoman.core.process_identity import ProcessIdentity
from dragoman.core.supervise import describe
from dragoman.stores.crypto import Cipher
from dragoman.stores.sql.database import Connection, Failed, Syntax

Migrations: TypeAlias = Sequence[Sequence[str]]
"""The statements that lead from each version of a file to the next. Entries are only added, never changed."""

FileState: TypeAlias = tuple[tuple[int, int, int], ...]
"""Inode, size and time of the last change of each file of a database."""

MIN_SQLITE = (3, 37, 0)
"""The first version with STRICT tables."""

_SETTLE_NANOSECONDS = 1_000_000_000
"""Clocks of file systems are coarse: two writes at nearly the same time may get the same time."""
BUSY_SECONDS = 10.0
"""Seconds for which a call waits for a lock that another process holds, unless its store says otherwise."""
_BUSY_RETRY_SECONDS = 0.01
_PRIMARY_CODE = 0xFF
"""The part of an error code that all its kinds have in common: a file may be busy for several reasons."""
_OWNER_ONLY = 0o600
_PROGRAMMING_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError)

_SYNTAX = Syntax(
    day="date(began, 'unixepoch')",
    has_label="EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)",
    position="instr(model, ?)",
    all_rows="LIMIT -1",
    older="SELECT max(place) - ? FROM runs",
)

_T = TypeVar("_T")

Work: TypeAlias = "Callable[[sqlite3.Connection], _T]"
"""Runs in the thread of the database, inside a transaction. It leaves no cursor open when it returns."""


def require_supported_sqlite() -> None:
    """Check the version of the SQLite library that this Python uses.

    Raises:
        sqlite3.NotSupportedError: The library is too old. The text says what to do.
    """
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        needed = ".".join(map(str, MIN_SQLITE[:2]))
        raise sqlite3.NotSupportedError(
            f"SQLite {sqlite3.sqlite_version} is too old: Dragoman needs {needed} or newer. Update the SQLite library "
            "of this system, or use a Python that brings a newer one (python.org's, `uv python install`, or the image)"
        )


def is_alive(process: str) -> bool:
    """Return whether the process of an identity is running on this machine."""
    try:
        return ProcessIdentity.parse(process).process() is not None
    except ValueError:
        return False


class Database:
    """An SQLite file: an `SQLDatabase`. It is opened at the first call. Several processes may share it.

    One thread does all the work, in the order of the calls, so SQLite never blocks the event loop. A call that is
    cancelled before its turn is not run; a call that has started is finished. The file and the files that SQLite adds
    to it are readable by their owner only.

    Errors, for every store:

    - SQLite waits up to `busy_timeout` for a lock that another process holds. Nothing else is retried. A later call
      tries again, and opens the file again if it could not be opened.
    - `OSError` and every `sqlite3.Error` that the file or the disk causes (locked, full, read-only, damaged, written by
      a newer version of Dragoman, SQLite too old) become `StoreFailed`.
    - `failures` reports the error until a write succeeds again. Each call of it starts such a write.
    - `IntegrityError`, `ProgrammingError` and `InterfaceError` are faults of the statement. They are raised unchanged.

    Args:
        path: The file. It is created, with its directory, if it does not exist.
        migrations: Run as far as the file has not seen them. One file belongs to one list.
        failed: Makes the `StoreFailed` of a call that failed, and logs the reason. By default its text is the path and
            the reason, which must not reach a client.
        busy_timeout: Seconds.
    """

    def __init__(
        self,
        path: Path,
        migrations: Migrations,
        failed: Failed | None = None,
        *,
        busy_timeout: float = BUSY_SECONDS,
    ) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._files = (path, path.with_name(f"{path.name}-wal"))
        self._migrations = migrations
        self._failed = failed or _plain_failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None
        self._closing = False
        self._failure: str | None = None
        self._probe: Future[None] | None = None
        self.syntax = _SYNTAX

    @cached_property
    def process(self) -> str:
        """See `SQLDatabase.process`."""
        return str(ProcessIdentity.current())

    def exists(self) -> bool:
        """See `SQLDatabase.exists`."""
        return self.path.exists()

    def ended(self, connection: Connection, processes: Sequence[str]) -> list[str]:  # noqa: ARG002 - an `SQLDatabase`
        """See `SQLDatabase.ended`. All processes are of this machine."""
        return [process for process in processes if not is_alive(process)]

    def cipher(self) -> Cipher:
        """See `SQLDatabase.cipher`. The key is in a file of the same name with the suffix `.key`."""
        return self._cipher

    def failures(self) -> Mapping[str, str]:
        """Return why the file could not be used last, until it can; see `dragoman.core.supervise.ReportsFailures`."""
        if self._failure is None:
            return {}
        if not self._closing and (self._probe is None or self._probe.done()):
            self._probe = self._thread.submit(self._try_write)
        return {f"store {self.path.name}": self._failure}

    def state(self) -> FileState | None:
        """Return what changes with every write to the file, by any process.

        Returns:
            The state; None if a write was so recent that another one might not change it.
        """
        try:
            files = [path.stat() for path in self._files]
        except OSError:
            return None
        if time.time_ns() - max(file.st_mtime_ns for file in files) < _SETTLE_NANOSECONDS:
            return None
        return tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in files)

    async def read(self, work: "Work[_T]") -> _T:
        """Run a query in a transaction that takes no write lock. It sees one state of the file.

        Raises:
            StoreFailed: The file cannot be used.
        """
        return await self._run("DEFERRED", work)

    async def write(self, work: "Work[_T]") -> _T:
        """Change the file in one transaction: all of it is stored and survives a crash of the process, or nothing is.

        Raises:
            StoreFailed: The file cannot be used.
        """
        return await self._run("IMMEDIATE", work)

    async def aclose(self) -> None:
        """Finish the calls that were made, and close the file. Idempotent. No call may follow."""
        if not self._closing:
            self._closing = True
            self._thread.submit(self._disconnect)
        # Shielded: a cancelled close would leave the thread and the file open.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown))

    async def _run(self, kind: str, work: "Work[_T]") -> _T:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, kind, work)
        except _PROGRAMMING_ERRORS:
            raise
        except (sqlite3.Error, OSError) as error:
            self._failure = describe(error)
            raise self._failed(str(self.path), error) from error
        if kind == "IMMEDIATE":  # a full disk can still be read
            self._failure = None
        return result

    # The rest runs in the thread.

    @cached_property
    def _cipher(self) -> Cipher:
        return Cipher.of_file(self.path.with_suffix(".key"))

    def _transaction(self, kind: str, work: "Work[_T]") -> _T:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection as connection:
            connection.execute(f"BEGIN {kind}")
            return work(connection)

    def _try_write(self) -> None:
        """Write as much as one page, to see whether the file can be used again."""
        try:
            version = len(self._migrations)
            self._transaction("IMMEDIATE", lambda db: db.execute(f"PRAGMA user_version = {version}").close())
        except (sqlite3.Error, OSError) as error:
            self._failure = describe(error)
        else:
            self._failure = None

    def _connect(self) -> sqlite3.Connection:
        require_supported_sqlite()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files that it adds the same mode. A file that exists is not opened here: to close it would
        # release the locks that this process holds on it.
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY))
        connection = sqlite3.connect(self.path, timeout=self._busy_timeout, isolation_level=None)
        try:
            _switch_to_wal(connection, self._busy_timeout)
            # In WAL mode a crash of the process loses nothing. A crash of the machine may lose the last transactions.
            connection.execute("PRAGMA synchronous=NORMAL").close()
            connection.execute("PRAGMA foreign_keys=ON").close()
            # What a statement may have to undo is kept in memory: else each large insert writes a temporary file.
            connection.execute("PRAGMA temp_store=MEMORY").close()
            # Checked without a lock first: opening a current file must not wait for another process that writes.
            if self._version(connection) < len(self._migrations):
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self, connection: sqlite3.Connection) -> int:
        with closing(connection.execute("PRAGMA user_version")) as cursor:
            version = int(cursor.fetchone()[0])
        if version > len(self._migrations):
            raise sqlite3.DatabaseError(
                f"{self.path} was written by a newer version of Dragoman (its format {version}, known here: "
                f"{len(self._migrations)}): run that version, or move the file away"
            )
        return version

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with connection:
            # With the write lock: of two processes one migrates, and the other sees the result.
            connection.execute("BEGIN IMMEDIATE")
            for migration in self._migrations[self._version(connection) :]:
                for statement in migration:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _switch_to_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Set the journal mode. A file keeps it, so this changes only a new file.

    Another connection may do the same at this moment. SQLite then fails at once in one of them and waits in the other,
    which may block both. So neither waits in SQLite, and both try again.
    """
    connection.execute("PRAGMA busy_timeout=0").close()
    give_up = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(_BUSY_RETRY_SECONDS)
        else:
            break
    connection.execute(f"PRAGMA busy_timeout={int(busy_timeout * 1000)}").close()


def _plain_failure(place: str, error: Exception) -> StoreFailed:
    return StoreFailed(f"{place}: {error}")
