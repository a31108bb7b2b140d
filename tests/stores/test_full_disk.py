"""A disk that is full: requests are answered, readiness says why nothing is stored, and all recovers."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted import clean, replies, served

from dragoman.core.errors import StoreFailed
from dragoman.stores.sqlite.database import Database

_clean = pytest.fixture(autouse=True)(clean)

_TABLE = (("CREATE TABLE t (data BLOB)",),)


def _insert(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (zeroblob(100000))").close()


def _limit_pages(count: int) -> Callable[[sqlite3.Connection], None]:
    """Return work that limits the size of the file: SQLite fails then as it does on a full disk."""
    return lambda db: db.execute(f"PRAGMA max_page_count = {count}").close()


async def test_a_full_store_says_so_and_recovers(tmp_path: Path) -> None:
    """Reading works meanwhile, and does not hide the failure. Asking starts the write that shows the recovery."""
    database = Database(tmp_path / "t.db", _TABLE)
    await database.write(_insert)
    assert database.failures() == {}
    await database.read(_limit_pages(1))
    with pytest.raises(StoreFailed):
        await database.write(_insert)
    await database.read(lambda db: db.execute("SELECT count(*) FROM t").close())
    assert database.failures() == {"store t.db": "OperationalError: database or disk is full"}
    await database.read(_limit_pages(10_000))
    async with asyncio.timeout(20):
        while database.failures():
            await database.read(lambda db: db.execute("SELECT 1").close())
    await database.write(_insert)
    await database.aclose()


async def test_readiness_reports_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    """The request is answered, with a warning where its response should have been stored."""
    state = tmp_path / "blocked"
    state.mkdir()
    for name in ("answers.db", "runs.db", "thinking.db"):
        (state / name).mkdir()  # no file can be there
    async with served(replies("Hello"), state_dir=state) as gateway:
        response = await gateway.http.post("/v1/responses", json={"input": "Say it", "model": "sonnet"})
        assert response.status_code == 200
        assert "not_kept" in response.headers["x-dragoman-warnings"]
        async with asyncio.timeout(20):
            while len((ready := await gateway.http.get("/health/ready")).json()["failures"]) < 2:
                pass
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert {"store answers.db", "store runs.db"} <= ready.json()["failures"].keys()
        for name in ("answers.db", "runs.db", "thinking.db"):
            (state / name).rmdir()
        async with asyncio.timeout(20):
            while (await gateway.http.get("/health/ready")).json()["failures"]:
                pass
        stored = await gateway.http.post("/v1/responses", json={"input": "Say it", "model": "sonnet"})
        assert stored.headers["x-dragoman-warnings"] == "[]"


async def test_a_background_response_that_cannot_be_stored_asks_no_model(tmp_path: Path) -> None:
    """The request is refused before a call is made: its client could never read the response."""
    state = tmp_path / "blocked"
    (state / "answers.db").mkdir(parents=True)  # no file can be there
    async with served(replies("Hello"), state_dir=state) as gateway:
        body = {"input": "Say it", "model": "sonnet", "background": True}
        refused = await gateway.http.post("/v1/responses", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_failed")
        assert gateway.backend.requests == []
        (state / "answers.db").rmdir()
        assert (await gateway.http.post("/v1/responses", json=body)).status_code == 200
        await gateway.backend.started.wait()
