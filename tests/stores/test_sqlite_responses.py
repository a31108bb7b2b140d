"""The response store in an SQLite file: the suite of all response stores, files and errors."""

import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from dragoman.core.errors import StoreFailed
from dragoman.stores.base import ResponseStore, ResponseStoreLimits
from dragoman.stores.sqlite.responses import SQLiteResponseStore
from dragoman.testing.key_values import Clock
from dragoman.testing.stored_responses import ResponseStoreSuite, entry


@asynccontextmanager
async def opened(where: Path, limits: ResponseStoreLimits, clock: Clock) -> AsyncIterator[SQLiteResponseStore]:
    """Open a store, and close it at the end."""
    store = SQLiteResponseStore(where / "sub" / "responses.db", limits, clock=clock)
    try:
        yield store
    finally:
        await store.aclose()


class TestSQLiteResponses(ResponseStoreSuite):
    """The suite."""

    def opened(
        self, where: Path, limits: ResponseStoreLimits, clock: Clock
    ) -> AbstractAsyncContextManager[ResponseStore]:
        """Open a file in the directory."""
        return opened(where, limits, clock)


async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Including the files that SQLite adds."""
    async with opened(tmp_path, ResponseStoreLimits(), Clock()) as store:
        await store.add(entry("a"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "sub").iterdir()} == {0o600}


async def test_a_damaged_file_raises_store_failed(tmp_path: Path) -> None:
    """The text says what to do meanwhile, and names no path."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "responses.db").write_bytes(b"this is not a database, but long enough to be read as one" * 20)
    async with opened(tmp_path, ResponseStoreLimits(), Clock()) as store:
        with pytest.raises(StoreFailed, match="store: false") as failure:
            await store.add(entry("a"))
    assert str(tmp_path) not in failure.value.message
