"""The keep in a file: sealed, timed, bounded, shared."""

import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from dragoman.stores.base import KeyValueStore
from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore
from dragoman.testing.key_values import Clock, KeyValueStoreSuite


@asynccontextmanager
async def opened(where: Path, ttl: float, entries: int, clock: Clock) -> AsyncIterator[SQLiteKeyValueStore]:
    """A keep that is closed at the end."""
    keep = SQLiteKeyValueStore(where / "sub" / "kept.db", ttl=ttl, entries=entries, clock=clock)
    try:
        yield keep
    finally:
        await keep.aclose()


class TestSQLiteKeep(KeyValueStoreSuite):
    """The suite."""

    def opened(self, where: Path, ttl: float, entries: int, clock: Clock) -> AbstractAsyncContextManager[KeyValueStore]:
        """A file in the folder."""
        return opened(where, ttl, entries, clock)


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
async def keep(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteKeyValueStore]:
    """A keep for ten seconds and three entries."""
    async with opened(tmp_path, 10, 3, clock) as made:
        yield made


async def test_nothing_readable_lies_on_disk(keep: SQLiteKeyValueStore, tmp_path: Path) -> None:
    """Values are sealed; file and key are the owner's alone."""
    await keep.put("a", b"a planted secret")
    files = [file for file in (tmp_path / "sub").iterdir() if file.is_file()]
    assert not any(b"planted" in file.read_bytes() for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files if file.suffix in {".db", ".key"})


async def test_trouble_with_the_file_is_forgetting(tmp_path: Path) -> None:
    """A cache never fails a request."""
    (tmp_path / "kept.db").write_bytes(b"this is no database, but long enough to be looked at as one" * 20)
    keep = SQLiteKeyValueStore(tmp_path / "kept.db", ttl=10, entries=3)
    await keep.put("a", b"1")
    assert await keep.get(["a"]) == {}
    await keep.aclose()


async def test_a_lost_key_is_forgetting(keep: SQLiteKeyValueStore, tmp_path: Path, clock: Clock) -> None:
    """What another key closed is not opened."""
    await keep.put("a", b"1")
    (tmp_path / "sub" / "kept.key").unlink()
    other = SQLiteKeyValueStore(tmp_path / "sub" / "kept.db", ttl=10, entries=3, clock=clock)
    assert await other.get(["a"]) == {}
    await other.aclose()


def test_a_sealed_value_belongs_to_its_name(tmp_path: Path) -> None:
    """One cannot be passed off as another, and a changed one is none."""
    seal = Cipher.of_file(tmp_path / "key")
    assert Cipher.of_file(tmp_path / "key").decrypt(seal.encrypt(b"x", "a"), "a") == b"x"
    assert seal.decrypt(seal.encrypt(b"x", "a"), "b") is None
    changed = bytearray(seal.encrypt(b"x", "a"))
    changed[-1] ^= 1
    assert seal.decrypt(bytes(changed), "a") is None
