"""The key-value store in an SQLite file: the suite of all key-value stores, encryption and errors."""

import os
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from dragoman.stores.base import KeyValueStore
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore
from dragoman.testing.key_values import Clock, KeyValueStoreSuite


@asynccontextmanager
async def opened(where: Path, ttl: float, entries: int, clock: Clock) -> AsyncIterator[SQLiteKeyValueStore]:
    """Open a store, and close it at the end."""
    store = SQLiteKeyValueStore(where / "sub" / "kept.db", ttl=ttl, entries=entries, clock=clock)
    try:
        yield store
    finally:
        await store.aclose()


class TestSQLiteKeyValues(KeyValueStoreSuite):
    """The suite."""

    def opened(self, where: Path, ttl: float, entries: int, clock: Clock) -> AbstractAsyncContextManager[KeyValueStore]:
        """Open a file in the directory."""
        return opened(where, ttl, entries, clock)


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteKeyValueStore]:
    """Open a store for ten seconds and three entries."""
    async with opened(tmp_path, 10, 3, clock) as made:
        yield made


async def test_a_store_that_was_read_and_not_written_since_is_known_to_be_empty(
    store: SQLiteKeyValueStore, tmp_path: Path
) -> None:
    """Unless the last write was so recent that another one could have the same time."""
    assert not store.is_empty()
    assert await store.get(["a"]) == {}
    for file in (tmp_path / "sub").iterdir():
        os.utime(file, (1, 1))
    assert not store.is_empty()
    assert await store.get(["a"]) == {}
    assert store.is_empty()
    await store.put("a", b"1")
    assert not store.is_empty()
    assert await store.get(["a"]) == {"a": b"1"}


async def test_values_are_encrypted(store: SQLiteKeyValueStore, tmp_path: Path) -> None:
    """File and key are readable by their owner only."""
    await store.put("a", b"a planted secret")
    files = [file for file in (tmp_path / "sub").iterdir() if file.is_file()]
    assert not any(b"planted" in file.read_bytes() for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files if file.suffix in {".db", ".key"})


async def test_a_damaged_file_is_an_empty_store(tmp_path: Path) -> None:
    """A cache fails no request."""
    (tmp_path / "kept.db").write_bytes(b"this is not a database, but long enough to be read as one" * 20)
    store = SQLiteKeyValueStore(tmp_path / "kept.db", ttl=10, entries=3)
    await store.put("a", b"1")
    assert await store.get(["a"]) == {}
    await store.aclose()


async def test_without_its_key_the_store_is_empty(store: SQLiteKeyValueStore, tmp_path: Path, clock: Clock) -> None:
    """Values that another key encrypted are not returned."""
    await store.put("a", b"1")
    (tmp_path / "sub" / "kept.key").unlink()
    other = SQLiteKeyValueStore(tmp_path / "sub" / "kept.db", ttl=10, entries=3, clock=clock)
    assert await other.get(["a"]) == {}
    await other.aclose()
