"""The archive in a file: the suite of all archives, and what is SQLite's own."""

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
    """An archive that is closed at the end."""
    archive = SQLiteResponseStore(where / "sub" / "archive.db", limits, clock=clock)
    try:
        yield archive
    finally:
        await archive.aclose()


class TestSQLiteArchive(ResponseStoreSuite):
    """The suite."""

    def opened(
        self, where: Path, limits: ResponseStoreLimits, clock: Clock
    ) -> AbstractAsyncContextManager[ResponseStore]:
        """A file in the folder."""
        return opened(where, limits, clock)


async def test_its_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Whatever SQLite puts beside them."""
    async with opened(tmp_path, ResponseStoreLimits(), Clock()) as archive:
        await archive.add(entry("a"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "sub").iterdir()} == {0o600}


async def test_trouble_with_the_file_is_told(tmp_path: Path) -> None:
    """With what to do meanwhile, and nothing of paths."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "archive.db").write_bytes(b"this is no database, but long enough to be looked at as one" * 20)
    async with opened(tmp_path, ResponseStoreLimits(), Clock()) as archive:
        with pytest.raises(StoreFailed, match="store: false") as failure:
            await archive.add(entry("a"))
    assert str(tmp_path) not in failure.value.message
