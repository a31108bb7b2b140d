"""The run store in an SQLite file: the suite of all run stores, ended processes, encryption, locks and errors."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.core.value_object import replace
from dragoman.stores.run_records import RunStore
from dragoman.stores.sqlite.run_records import SQLiteRunStore
from dragoman.testing.key_values import Clock
from dragoman.testing.run_records import RunStoreSuite, ids, record

EXIT_WITH_OPEN_RUNS = """
import asyncio, os, sys
from pathlib import Path
from dragoman.stores.sqlite.run_records import SQLiteRunStore
from dragoman.testing.run_records import record

async def main():
    store = SQLiteRunStore(Path(sys.argv[1]), ttl=1e10, entries=100)
    await store.save([record("run_open", "running"), record("run_waits", "queued"), record("run_done")])
    os._exit(0)

asyncio.run(main())
"""


@asynccontextmanager
async def opened(
    where: Path, clock: Clock | None = None, *, ttl: float = 1e6, entries: int = 100
) -> AsyncIterator[SQLiteRunStore]:
    """Open a store, and close it at the end."""
    store = SQLiteRunStore(where / "sub" / "runs.db", ttl=ttl, entries=entries, clock=clock or Clock())
    try:
        yield store
    finally:
        await store.aclose()


def leave_open_runs(where: Path) -> Path:
    """Run a process that exits with open runs, and return the file."""
    path = where / "sub" / "runs.db"
    subprocess.run([sys.executable, "-c", EXIT_WITH_OPEN_RUNS, str(path)], check=True)  # noqa: S603 - our own script
    return path


def statuses(path: Path) -> dict[str, tuple[str, str | None]]:
    """Return status and error of each run as the file holds them."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT id, status, error FROM runs").fetchall()
    return {id_: (status, error) for id_, status, error in rows}


class TestSQLiteRuns(RunStoreSuite):
    """The suite."""

    def opened(self, where: Path, clock: Clock, *, ttl: float, entries: int) -> AbstractAsyncContextManager[RunStore]:
        """Open a file in the directory."""
        return opened(where, clock, ttl=ttl, entries=entries)


async def test_open_runs_of_an_ended_process_have_failed(tmp_path: Path) -> None:
    """With the error `interrupted`. Runs that ended before stay as they are."""
    leave_open_runs(tmp_path)
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


async def test_reads_report_interrupted_runs_and_saves_store_them(tmp_path: Path) -> None:
    """A read finds them under their new status, and changes nothing in the file."""
    path = leave_open_runs(tmp_path)
    left = {"run_open": ("running", None), "run_waits": ("queued", None), "run_done": ("succeeded", None)}
    interrupted = ("failed", "interrupted")
    async with opened(tmp_path) as store:
        assert await ids(store, statuses=("failed",)) == ["run_waits", "run_open"]
        assert await ids(store, statuses=("queued", "running")) == []
        assert await ids(store) == ["run_done", "run_waits", "run_open"]
        found = await store.get("run_open")
        assert found is not None
        assert (found.status, found.error) == interrupted
        assert statuses(path) == left
        await store.save([])
        assert statuses(path) == {**left, "run_open": interrupted, "run_waits": interrupted}


async def test_reads_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    """A store is opened and read while another process holds the write lock."""
    async with opened(tmp_path) as store:
        await store.save([record("run_a")])
    with closing(sqlite3.connect(tmp_path / "sub" / "runs.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        async with opened(tmp_path) as store:
            assert await store.get("run_a") is not None
            assert await ids(store) == ["run_a"]


async def test_prompts_and_responses_are_encrypted(tmp_path: Path) -> None:
    """No file holds them as plain text, and all are readable by their owner only. Large content is left out."""
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


async def test_a_damaged_file_raises_store_failed(tmp_path: Path) -> None:
    """The text names no path."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "runs.db").write_bytes(b"this is not a database, but long enough to be read as one" * 20)
    async with opened(tmp_path) as store:
        with pytest.raises(StoreFailed) as failure:
            await store.save([record("run_a")])
    assert str(tmp_path) not in failure.value.message


async def test_space_of_deleted_records_is_reused(tmp_path: Path) -> None:
    """The file stays small."""
    async with opened(tmp_path, entries=50) as store:
        for number in range(100):
            await store.save([record(f"run_{number}_{part}") for part in range(50)])
    with closing(sqlite3.connect(tmp_path / "sub" / "runs.db")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    assert pages < 50
