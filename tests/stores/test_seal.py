"""The key of what lies sealed on disk: made whole and once, and never taken for one where it is none."""

import os
import stat
from pathlib import Path

import pytest

from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore


def test_what_a_crash_left_of_another_key_is_in_nobodys_way(tmp_path: Path) -> None:
    """A container's process has the same number at each start, and so would a draft that is named by it."""
    (tmp_path / f"some.{os.getpid()}.draft").write_bytes(b"")
    seal = Cipher.of_file(tmp_path / "some.key")
    assert Cipher.of_file(tmp_path / "some.key").decrypt(seal.encrypt(b"x", "a"), "a") == b"x"
    assert stat.S_IMODE((tmp_path / "some.key").stat().st_mode) == 0o600


def test_no_draft_stays(tmp_path: Path) -> None:
    """Not where it is made, nor where it could not be."""
    Cipher.of_file(tmp_path / "some.key")
    assert [file.name for file in tmp_path.iterdir()] == ["some.key"]
    (tmp_path / "dangling.key").symlink_to(tmp_path / "nowhere" / "key")  # neither there nor to be made
    with pytest.raises(FileNotFoundError):
        Cipher.of_file(tmp_path / "dangling.key")
    assert {file.name for file in tmp_path.iterdir()} == {"some.key", "dangling.key"}


@pytest.mark.parametrize("left", [b"", b"half a key"])
def test_a_file_that_is_no_key(tmp_path: Path, left: bytes) -> None:
    """It is said which, and what to do: a machine may have lost its power while the key was written."""
    (tmp_path / "some.key").write_bytes(left)
    with pytest.raises(OSError, match=r"some\.key is no key: move it away"):
        Cipher.of_file(tmp_path / "some.key")


async def test_a_keep_whose_key_is_none_forgets(tmp_path: Path) -> None:
    """It is a cache, and ends no run."""
    (tmp_path / "kept.key").write_bytes(b"")
    keep = SQLiteKeyValueStore(tmp_path / "kept.db", ttl=10, entries=3)
    await keep.put("a", b"1")
    assert await keep.get(["a"]) == {}
    await keep.aclose()
