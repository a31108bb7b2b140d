"""The keep in a file: sealed, timed, bounded, shared."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.stores.seal import Seal
from dragoman.stores.sqlite import SQLiteKeep


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
async def keep(tmp_path: Path, clock: Clock) -> AsyncIterator[SQLiteKeep]:
    """A keep for ten seconds and three entries."""
    made = SQLiteKeep(tmp_path / "sub" / "kept.db", ttl=10, entries=3, clock=clock)
    yield made
    await made.aclose()


async def test_what_was_put_is_there_and_the_rest_is_not(keep: SQLiteKeep) -> None:
    """Also after it was put anew."""
    await keep.put("a", b"1")
    await keep.put("a", b"2")
    assert await keep.get(["a", "b"]) == {"a": b"2"}
    assert await keep.get([]) == {}


async def test_a_value_is_kept_for_its_time(keep: SQLiteKeep, clock: Clock) -> None:
    """And gone from the file with the next put."""
    await keep.put("a", b"1")
    clock.now += 10
    assert await keep.get(["a"]) == {}


async def test_the_oldest_go_where_it_is_full(keep: SQLiteKeep, clock: Clock) -> None:
    """Put anew is young again."""
    for name in ("a", "b", "c", "a", "d"):
        clock.now += 1
        await keep.put(name, b"1")
    assert set(await keep.get(["a", "b", "c", "d"])) == {"a", "c", "d"}


async def test_nothing_readable_lies_on_disk(keep: SQLiteKeep, tmp_path: Path) -> None:
    """Values are sealed; file and key are the owner's alone."""
    await keep.put("a", b"a planted secret")
    files = [file for file in (tmp_path / "sub").iterdir() if file.is_file()]
    assert not any(b"planted" in file.read_bytes() for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files if file.suffix in {".db", ".key"})


async def test_two_share_a_file_and_survive_each_other(keep: SQLiteKeep, tmp_path: Path, clock: Clock) -> None:
    """As two gateways on one machine do."""
    await keep.put("a", b"1")
    other = SQLiteKeep(tmp_path / "sub" / "kept.db", ttl=10, entries=3, clock=clock)
    await asyncio.gather(other.put("b", b"2"), keep.put("c", b"3"))
    assert await other.get(["a", "b", "c"]) == {"a": b"1", "b": b"2", "c": b"3"}
    await other.aclose()
    assert await keep.get(["b"]) == {"b": b"2"}


async def test_trouble_with_the_file_is_forgetting(tmp_path: Path) -> None:
    """A cache never fails a request."""
    (tmp_path / "kept.db").write_bytes(b"this is no database, but long enough to be looked at as one" * 20)
    keep = SQLiteKeep(tmp_path / "kept.db", ttl=10, entries=3)
    await keep.put("a", b"1")
    assert await keep.get(["a"]) == {}
    await keep.aclose()


async def test_a_lost_key_is_forgetting(keep: SQLiteKeep, tmp_path: Path, clock: Clock) -> None:
    """What another key closed is not opened."""
    await keep.put("a", b"1")
    (tmp_path / "sub" / "kept.key").unlink()
    other = SQLiteKeep(tmp_path / "sub" / "kept.db", ttl=10, entries=3, clock=clock)
    assert await other.get(["a"]) == {}
    await other.aclose()


def test_a_sealed_value_belongs_to_its_name(tmp_path: Path) -> None:
    """One cannot be passed off as another, and a changed one is none."""
    seal = Seal.of_file(tmp_path / "key")
    assert Seal.of_file(tmp_path / "key").opened(seal.closed(b"x", "a"), "a") == b"x"
    assert seal.opened(seal.closed(b"x", "a"), "b") is None
    changed = bytearray(seal.closed(b"x", "a"))
    changed[-1] ^= 1
    assert seal.opened(bytes(changed), "a") is None
