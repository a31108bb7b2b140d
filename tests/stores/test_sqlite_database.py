"""An SQLite file: transactions, migrations, modes, sharing, errors and closing."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.stores.sqlite.database import Database

FIRST = ("CREATE TABLE words (word TEXT PRIMARY KEY) STRICT", "INSERT INTO words VALUES ('made')")
SECOND = ("ALTER TABLE words ADD COLUMN count INTEGER NOT NULL DEFAULT 1",)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open a file with one table."""
    made = Database(tmp_path / "sub" / "words.db", (FIRST,))
    yield made
    await made.aclose()


async def words(database: Database) -> set[str]:
    """Return the words in it."""
    return await database.read(lambda db: {word for (word,) in db.execute("SELECT word FROM words").fetchall()})


async def add(database: Database, word: str) -> None:
    """Add a word."""
    await database.write(lambda db: db.execute("INSERT INTO words VALUES (?)", (word,)).close())


async def test_a_write_is_atomic(database: Database) -> None:
    """A write that raises changes nothing. A fault of the statement is raised unchanged."""

    def broken(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO words VALUES ('half')")
        db.execute("INSERT INTO words VALUES ('made')")

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(broken)
    await add(database, "whole")
    assert await words(database) == {"made", "whole"}


async def test_a_file_is_migrated_once(database: Database) -> None:
    """By the statements that it has not seen."""
    await add(database, "old")
    for _ in range(2):
        newer = Database(database.path, (FIRST, SECOND))
        counts = await newer.read(lambda db: db.execute("SELECT word, count FROM words ORDER BY word").fetchall())
        assert counts == [("made", 1), ("old", 1)]
        await newer.aclose()


async def test_a_file_of_a_newer_version_is_refused(database: Database) -> None:
    """The error says what to do."""
    newer = Database(database.path, (FIRST, SECOND))
    await words(newer)
    await newer.aclose()
    with pytest.raises(StoreFailed, match="newer version of Dragoman"):
        await words(database)


async def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    """The next try finds the file as it was."""
    broken = Database(tmp_path / "words.db", ((*FIRST, "nonsense"),))
    with pytest.raises(StoreFailed) as failure:
        await words(broken)
    assert isinstance(failure.value.__cause__, sqlite3.OperationalError)
    await broken.aclose()
    correct = Database(tmp_path / "words.db", (FIRST,))
    assert await words(correct) == {"made"}
    await correct.aclose()


async def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """One of them migrates it. None fails because another one switches the journal mode at that moment."""
    for attempt in range(30):
        databases = [Database(tmp_path / f"{attempt}.db", (FIRST,)) for _ in range(6)]
        await asyncio.gather(*(add(database, str(number)) for number, database in enumerate(databases)))
        assert await words(databases[0]) == {"made", *map(str, range(6))}
        await asyncio.gather(*(database.aclose() for database in databases))


async def test_a_current_file_is_opened_while_another_process_writes(database: Database) -> None:
    """Reading needs no write lock, also at the first call."""
    await add(database, "word")
    with closing(sqlite3.connect(database.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        other = Database(database.path, (FIRST,))
        assert await words(other) == {"made", "word"}
        await other.aclose()


async def test_files_are_readable_by_their_owner_only(database: Database) -> None:
    """Including the files that SQLite adds, and the directory."""
    await add(database, "word")
    folder = database.path.parent
    assert {file.name for file in folder.iterdir()} == {"words.db", "words.db-wal", "words.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("problem", ["damaged", "a directory"])
async def test_a_file_that_cannot_be_used_raises_store_failed(tmp_path: Path, problem: str) -> None:
    """Whether SQLite or the system refuses it. By default the text has path and reason."""
    path = tmp_path / "words.db"
    if problem == "damaged":
        path.write_bytes(b"this is not a database, but long enough to be read as one" * 20)
    else:
        path.mkdir()
    broken = Database(path, (FIRST,))
    with pytest.raises(StoreFailed, match=r"words\.db"):
        await words(broken)
    await broken.aclose()


async def test_a_failure_ends_when_its_cause_is_gone(tmp_path: Path) -> None:
    """A later call opens the file again."""
    path = tmp_path / "words.db"
    path.mkdir()
    database = Database(path, (FIRST,))
    with pytest.raises(StoreFailed):
        await words(database)
    path.rmdir()
    assert await words(database) == {"made"}
    await database.aclose()


async def test_an_old_sqlite_is_refused_by_name(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions before 3.37 know no STRICT tables. The error says what to do, instead of a syntax error."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(StoreFailed, match=r"is too old: Dragoman needs 3\.37 or newer\. Update"):
        await words(database)


async def test_a_cancelled_call_is_dropped_or_finished(database: Database) -> None:
    """A call that waits for its turn is dropped. A call that has started is finished."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(db: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        db.execute("INSERT INTO words VALUES ('begun')")

    running = asyncio.create_task(database.write(slow))
    await begun.wait()
    waiting = asyncio.create_task(add(database, "waited"))
    await asyncio.wait([waiting], timeout=0)
    for task in (running, waiting):
        task.cancel()
    await asyncio.wait([running, waiting])
    go_on.set()
    assert await words(database) == {"made", "begun"}


async def test_close_waits_for_calls_that_were_made(tmp_path: Path) -> None:
    """Closing is idempotent, and creates no file that was never used."""
    database = Database(tmp_path / "words.db", (FIRST,))
    adding = asyncio.create_task(add(database, "last"))
    await asyncio.wait([adding], timeout=0)
    await database.aclose()
    await database.aclose()
    await adding
    untouched = Database(tmp_path / "other.db", (FIRST,))
    await untouched.aclose()
    assert not untouched.path.exists()
