"""What every store in a file builds on: transactions, migrations, modes, sharing, closing."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.stores.sqlite.database import Database

FIRST = ("CREATE TABLE words (word TEXT PRIMARY KEY) STRICT", "INSERT INTO words VALUES ('made')")
SECOND = ("ALTER TABLE words ADD COLUMN count INTEGER NOT NULL DEFAULT 1",)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A file with one table."""
    made = Database(tmp_path / "sub" / "words.db", (FIRST,))
    yield made
    await made.aclose()


async def words(database: Database) -> set[str]:
    """The words in it."""
    return await database.read(lambda db: {word for (word,) in db.execute("SELECT word FROM words").fetchall()})


async def add(database: Database, word: str) -> None:
    """Put a word in."""
    await database.write(lambda db: db.execute("INSERT INTO words VALUES (?)", (word,)).close())


async def test_a_write_is_done_whole_or_not_at_all(database: Database) -> None:
    """What an error ends leaves nothing behind."""

    def broken(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO words VALUES ('half')")
        db.execute("INSERT INTO words VALUES ('made')")

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(broken)
    await add(database, "whole")
    assert await words(database) == {"made", "whole"}


async def test_a_file_is_brought_to_the_newest_version_once(database: Database) -> None:
    """By the statements that it has not seen."""
    await add(database, "old")
    for _ in range(2):
        newer = Database(database.path, (FIRST, SECOND))
        counts = await newer.read(lambda db: db.execute("SELECT word, count FROM words ORDER BY word").fetchall())
        assert counts == [("made", 1), ("old", 1)]
        await newer.aclose()


async def test_a_file_of_a_newer_version_is_left_alone(database: Database) -> None:
    """The error says what to do."""
    newer = Database(database.path, (FIRST, SECOND))
    await words(newer)
    await newer.aclose()
    with pytest.raises(sqlite3.DatabaseError, match="newer version of Dragoman"):
        await words(database)


async def test_a_migration_that_breaks_changes_nothing(tmp_path: Path) -> None:
    """The file is as it was, and the next try finds it so."""
    broken = Database(tmp_path / "words.db", ((*FIRST, "nonsense"),))
    with pytest.raises(sqlite3.OperationalError):
        await words(broken)
    await broken.aclose()
    whole = Database(tmp_path / "words.db", (FIRST,))
    assert await words(whole) == {"made"}
    await whole.aclose()


async def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """One of them migrates it."""
    databases = [Database(tmp_path / "words.db", (FIRST,)) for _ in range(4)]
    await asyncio.gather(*(add(database, str(number)) for number, database in enumerate(databases)))
    assert await words(databases[0]) == {"made", "0", "1", "2", "3"}
    await asyncio.gather(*(database.aclose() for database in databases))


async def test_every_file_is_the_owners_alone(database: Database) -> None:
    """Also those that SQLite puts beside it, and the folder."""
    await add(database, "word")
    folder = database.path.parent
    assert {file.name for file in folder.iterdir()} == {"words.db", "words.db-wal", "words.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_cancelled_call_is_not_done_or_done_whole(database: Database) -> None:
    """One that waits for its turn is not done; one that has begun is."""
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


async def test_closing_waits_for_what_was_begun(tmp_path: Path) -> None:
    """And may be asked for twice, also of a file that was never opened."""
    database = Database(tmp_path / "words.db", (FIRST,))
    adding = asyncio.create_task(add(database, "last"))
    await asyncio.wait([adding], timeout=0)
    await database.aclose()
    await database.aclose()
    await adding
    untouched = Database(tmp_path / "other.db", (FIRST,))
    await untouched.aclose()
    assert not untouched.path.exists()
