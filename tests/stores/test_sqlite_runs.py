"""Records of runs in a file: the suite of all their stores, and what is SQLite's own."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.stores.run_records import RunStore
from dragoman.stores.sqlite.run_records import SQLiteRunStore
from dragoman.testing.key_values import Clock
from dragoman.testing.run_records import RunStoreSuite, ids, record

LEAVE = """
import asyncio, os, sys
from pathlib import Path
from dragoman.stores.sqlite import SQLiteRuns
from dragoman.testing.run_stores import record

async def main():
    store = SQLiteRuns(Path(sys.argv[1]), ttl=1e10, entries=100)
    await store.save([record("run_open", "running"), record("run_waits", "queued"), record("run_done")])
    os._exit(0)

asyncio.run(main())
"""


@asynccontextmanager
async def opened(
    where: Path, clock: Clock | None = None, *, ttl: float = 1e6, entries: int = 100
) -> AsyncIterator[SQLiteRunStore]:
    """A store that is closed at the end."""
    store = SQLiteRunStore(where / "sub" / "runs.db", ttl=ttl, entries=entries, clock=clock or Clock())
    try:
        yield store
    finally:
        await store.aclose()


class TestSQLiteRuns(RunStoreSuite):
    """The suite."""

    def opened(self, where: Path, clock: Clock, *, ttl: float, entries: int) -> AbstractAsyncContextManager[RunStore]:
        """A file in the folder."""
        return opened(where, clock, ttl=ttl, entries=entries)


async def test_runs_of_a_process_that_is_gone(tmp_path: Path) -> None:
    """What was open when it ended has failed, by name; whatever ended before stays as it ended."""
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path / "sub" / "runs.db")], check=True)  # noqa: ASYNC221, S603 - it leaves at once
    async with opened(tmp_path) as store:
        await store.save([record("run_ours", "running")])
        assert await ids(store, statuses=("running", "queued")) == ["run_ours"]
        for id_ in ("run_open", "run_waits"):
            found = await store.get(id_)
            assert found is not None
            assert (found.status, found.error, found.ended) == ("failed", "interrupted", None)
        done = await store.get("run_done")
        assert done is not None
        assert (done.status, done.error) == ("succeeded", None)


async def test_what_was_said_is_sealed(tmp_path: Path) -> None:
    """Nothing of it can be read in the files, which are their owner's alone; and too much of it is left out."""
    async with opened(tmp_path) as store:
        small = record("run_a", prompt={"words": "private words"}, response={"words": "private answer"})
        await store.save([small, replace(small, id="run_b", response={"words": "x" * 2**21})])
        assert await store.get("run_a") == small
        large = await store.get("run_b")
        assert large is not None
        assert large.response == {"omitted_bytes": 2**21 + 12}
        files = list((tmp_path / "sub").iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert all(b"private" not in file.read_bytes() for file in files)


async def test_trouble_with_the_file_is_told(tmp_path: Path) -> None:
    """Nothing of paths in it."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "runs.db").write_bytes(b"this is no database, but long enough to be looked at as one" * 20)
    async with opened(tmp_path) as store:
        with pytest.raises(StoreFailed) as failure:
            await store.save([record("run_a")])
    assert str(tmp_path) not in failure.value.message


async def test_it_stays_small(tmp_path: Path) -> None:
    """Space of records that went is used again."""
    async with opened(tmp_path, entries=50) as store:
        for number in range(100):
            await store.save([record(f"run_{number}_{part}") for part in range(50)])
    connection = sqlite3.connect(tmp_path / "sub" / "runs.db")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    assert pages < 50
