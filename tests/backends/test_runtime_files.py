"""What runs leave on the disk: nothing, however they end."""

import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from runtime_harness import runtime, user

from dragoman.backends.claude_code.transcript import Transcripts
from dragoman.core.events import MessageEvent

TOOLS = [{"name": "look_up", "description": "", "input_schema": {"type": "object"}}]


def found(folder: Path, names: str) -> list[Path]:
    """The files of such names below a directory."""
    return list(folder.rglob(names))


@pytest.mark.parametrize("signed_in", [False, True])
async def test_runs_leave_no_files(tmp_path: Path, signed_in: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Read to the end or left in the middle, a run leaves no note of its process and no log of its tools."""
    async with runtime(tmp_path, max_live=0, signed_in=signed_in) as running:
        await running.ask([user("Use look_up")], tools=TOOLS)
        request = running.request([user("Count to 9\nSimulate: hold after 2")])
        async with aclosing(running.backend.run(request)) as left:
            await running.until(left, lambda event: isinstance(event, MessageEvent))
            assert found(tmp_path, "sessions/*.json")
    assert found(tmp_path, "sessions/*") == found(tmp_path, "mcp-logs-*") == []


def test_notes_of_a_gateway_that_was_killed(tmp_path: Path) -> None:
    """Those of processes that are gone are taken away, those of others and files of other names are not."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "sessions"
    folder.mkdir()
    kept = {folder / f"{os.getpid()}.json", folder / "other.json", folder / str(gone.pid)}
    for note in [*kept, folder / f"{gone.pid}.json", folder / f"{gone.pid}.0a1b.key"]:
        note.touch()
    Transcripts({"CLAUDE_CONFIG_DIR": str(tmp_path)}, ours=True).sweep()
    assert set(folder.iterdir()) == kept


def test_notes_in_the_home(tmp_path: Path) -> None:
    """Where no directory is named they lie in the home; there need be none."""
    notes = Transcripts({"HOME": str(tmp_path)}, ours=False)
    notes.remove(1)
    notes.sweep()
    folder = tmp_path / ".claude" / "sessions"
    folder.mkdir(parents=True)
    (folder / "1.json").touch()
    (folder / "12.json").touch()
    draft = folder.parent / ".claude.json.tmp.1.0a1b"
    draft.touch()
    notes.remove(1)
    assert [note.name for note in folder.iterdir()] == ["12.json"]
    assert not draft.exists()


@pytest.mark.parametrize("ours", [True, False])
def test_drafts_of_killed_processes(tmp_path: Path, ours: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Old ones are taken away where the directory is the gateway's own; one that may still be written is left."""
    store = tmp_path / "plugins" / "store"
    store.mkdir(parents=True)
    old, new = store / "a.json.tmp.1", store / "b.json.tmp.2"
    old.touch()
    os.utime(old, (0, 0))
    new.touch()
    Transcripts({"CLAUDE_CONFIG_DIR": str(tmp_path)}, ours=ours).remove(1)
    assert {path.name for path in store.iterdir()} == {new.name} | (set() if ours else {old.name})
