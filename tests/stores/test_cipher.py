"""Encryption of stored data, and its key file."""

import os
import stat
from pathlib import Path

import pytest

from dragoman.stores.crypto import Cipher
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore


def test_a_value_is_bound_to_its_name(tmp_path: Path) -> None:
    """It cannot be decrypted under another name, nor after a change."""
    cipher = Cipher.of_file(tmp_path / "key")
    assert Cipher.of_file(tmp_path / "key").decrypt(cipher.encrypt(b"x", "a"), "a") == b"x"
    assert cipher.decrypt(cipher.encrypt(b"x", "a"), "b") is None
    changed = bytearray(cipher.encrypt(b"x", "a"))
    changed[-1] ^= 1
    assert cipher.decrypt(bytes(changed), "a") is None


def test_a_draft_of_a_crashed_process_is_ignored(tmp_path: Path) -> None:
    """In a container the process has the same id at each start, so a draft named by it would be in the way."""
    (tmp_path / f"some.{os.getpid()}.draft").write_bytes(b"")
    cipher = Cipher.of_file(tmp_path / "some.key")
    assert Cipher.of_file(tmp_path / "some.key").decrypt(cipher.encrypt(b"x", "a"), "a") == b"x"
    assert stat.S_IMODE((tmp_path / "some.key").stat().st_mode) == 0o600


def test_no_draft_is_left_behind(tmp_path: Path) -> None:
    """Neither when the key is created, nor when it cannot be."""
    Cipher.of_file(tmp_path / "some.key")
    assert [file.name for file in tmp_path.iterdir()] == ["some.key"]
    (tmp_path / "dangling.key").symlink_to(tmp_path / "nowhere" / "key")  # does not exist and cannot be created
    with pytest.raises(FileNotFoundError):
        Cipher.of_file(tmp_path / "dangling.key")
    assert {file.name for file in tmp_path.iterdir()} == {"some.key", "dangling.key"}


@pytest.mark.parametrize("content", [b"", b"half a key"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file and what to do: the power may have failed while the key was written."""
    (tmp_path / "some.key").write_bytes(content)
    with pytest.raises(OSError, match=r"some\.key is not a key file: move it away"):
        Cipher.of_file(tmp_path / "some.key")


async def test_a_key_value_store_with_a_damaged_key_is_empty(tmp_path: Path) -> None:
    """It is a cache, and fails no run."""
    (tmp_path / "kept.key").write_bytes(b"")
    store = SQLiteKeyValueStore(tmp_path / "kept.db", ttl=10, entries=3)
    await store.put("a", b"1")
    assert await store.get(["a"]) == {}
    await store.aclose()
