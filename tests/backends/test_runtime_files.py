"""The files that runs leave on the disk: none, however the runs end."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

import pytest
from backend_harness import runtime, user

from dragoman.backends.claude_code.transcript import Transcripts
from dragoman.core.events import MessageEvent

TOOLS = [{"name": "look_up", "description": "", "input_schema": {"type": "object"}}]


def found(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a pattern below a directory."""
    return list(folder.rglob(pattern))


@pytest.mark.parametrize("signed_in", [False, True])
async def test_runs_leave_no_files(tmp_path: Path, signed_in: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Neither a complete run nor a cancelled one leaves a file of its process or a log of its tools."""
    async with runtime(tmp_path, max_live=0, signed_in=signed_in) as running:
        await running.ask([user("Use look_up")], tools=TOOLS)
        request = running.request([user("Count to 9\nSimulate: hold after 2")])
        async with aclosing(running.backend.run(request)) as events:
            await running.until(events, lambda event: isinstance(event, MessageEvent))
            assert found(tmp_path, "sessions/*.json")
    assert found(tmp_path, "sessions/*") == found(tmp_path, "mcp-logs-*") == []


class Recorded(Transcripts):
    """Transcripts that note which thread deletes what."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"CLAUDE_CONFIG_DIR": str(folder)}, owned=True)
        self.batches: list[set[int]] = []
        self.threads: set[int] = set()

    def delete(self, pids: Iterable[int]) -> None:
        """Note the thread, and delete."""
        self.batches.append(set(pids))
        self.threads.add(threading.get_ident())
        super().delete(pids)


async def test_files_are_deleted_off_the_event_loop(tmp_path: Path) -> None:
    """A thread deletes the files of all processes that ended in the meantime. `aclose` waits for it."""
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    for pid in (1, 2, 3):
        (sessions / f"{pid}.json").touch()
    transcripts = Recorded(tmp_path)
    transcripts.process_ended(1)
    await asyncio.sleep(0)
    transcripts.process_ended(2)
    transcripts.process_ended(3)
    await transcripts.aclose()
    assert found(tmp_path, "*.json") == []
    assert transcripts.batches == [{1}, {2, 3}]
    assert threading.get_ident() not in transcripts.threads


def test_files_of_a_killed_gateway(tmp_path: Path) -> None:
    """Files of processes that are gone are deleted. Files of other processes and of other names are not."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "sessions"
    folder.mkdir()
    kept = {folder / f"{os.getpid()}.json", folder / "other.json", folder / str(gone.pid)}
    for path in [*kept, folder / f"{gone.pid}.json", folder / f"{gone.pid}.0a1b.key"]:
        path.touch()
    Transcripts({"CLAUDE_CONFIG_DIR": str(tmp_path)}, owned=True).delete_stale()
    assert set(folder.iterdir()) == kept


def test_files_in_the_home(tmp_path: Path) -> None:
    """Without a configuration directory the files are in the home. The directory may be missing."""
    transcripts = Transcripts({"HOME": str(tmp_path)}, owned=False)
    transcripts.delete([1])
    transcripts.delete_stale()
    folder = tmp_path / ".claude" / "sessions"
    folder.mkdir(parents=True)
    (folder / "1.json").touch()
    (folder / "12.json").touch()
    draft = folder.parent / ".claude.json.tmp.1.0a1b"
    draft.touch()
    transcripts.delete([1])
    assert [path.name for path in folder.iterdir()] == ["12.json"]
    assert not draft.exists()


@pytest.mark.parametrize("owned", [True, False])
def test_drafts_of_killed_processes(tmp_path: Path, owned: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Old drafts are deleted if the directory is the gateway's own. A draft that may still be written is not."""
    store = tmp_path / "plugins" / "store"
    store.mkdir(parents=True)
    old, new = store / "a.json.tmp.1", store / "b.json.tmp.2"
    old.touch()
    os.utime(old, (0, 0))
    new.touch()
    Transcripts({"CLAUDE_CONFIG_DIR": str(tmp_path)}, owned=owned).delete([1])
    assert {path.name for path in store.iterdir()} == {new.name} | (set() if owned else {old.name})
