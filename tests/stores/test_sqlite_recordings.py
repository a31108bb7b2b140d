"""The store of recorded responses in an SQLite file: the suite of all such stores, and privacy."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

from dragoman.core.process_identity import ProcessIdentity
from dragoman.stores.recordings import RecordingName
from dragoman.stores.sqlite.database import is_alive
from dragoman.stores.sqlite.recordings import SQLiteRecordingStore
from dragoman.testing.key_values import Clock
from dragoman.testing.recordings import RecordingStoreSuite


class TestSQLiteRecordings(RecordingStoreSuite):
    """The suite."""

    def opened(
        self, where: Path, ttl: float, size: int, clock: Clock, alive: Callable[[str], bool]
    ) -> AbstractAsyncContextManager[SQLiteRecordingStore]:
        """Open a file in the directory."""
        store = SQLiteRecordingStore(where / "sub" / "recordings.db", ttl=ttl, size=size, clock=clock, alive=alive)
        return aclosing(store)


async def test_nothing_of_a_client_can_be_read_in_the_files(tmp_path: Path) -> None:
    """Neither a response nor a key. The files are readable by their owner only."""
    path = tmp_path / "sub" / "recordings.db"
    async with aclosing(SQLiteRecordingStore(path, ttl=10, size=10_000)) as store:
        name = RecordingName("alice", "a planted key")
        await store.claim(name, b"r", "me")
        await store.finish(name, "me", b"a planted response")
        files = [file for file in path.parent.iterdir() if file.is_file()]
        assert not any(b"planted" in file.read_bytes() for file in files)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files if file.suffix in {".db", ".key"})


def test_a_producer_is_alive_as_long_as_its_process() -> None:
    """A text that names no process names none that is alive."""
    assert is_alive(str(ProcessIdentity.current()))
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert not is_alive(f"{int(ended.stdout)}@{ProcessIdentity.current().started_at}")
    assert not is_alive(f"{os.getpid()}@1.0")
    assert not is_alive("nothing")
