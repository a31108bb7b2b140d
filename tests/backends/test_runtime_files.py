"""What runs leave on the disk: nothing, however they end."""

import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from runtime_harness import runtime, user

from dragoman.backends.runtime.notes import Notes
from dragoman.events import MessageEvent

TOOLS = [{"name": "look_up", "description": "", "input_schema": {"type": "object"}}]


def files(folder: Path) -> set[Path]:
    """Every file under a directory."""
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("signed_in", [False, True])
async def test_runs_leave_no_files(tmp_path: Path, signed_in: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """With tools or without, read to the end or left in the middle: no run adds a file to those of the first."""
    async with runtime(tmp_path, max_live=0, signed_in=signed_in) as running:
        await running.ask([user("Hello")])
        await running.ask([user("Use look_up")], tools=TOOLS)
        before = files(tmp_path)
        await running.ask([user("Use look_up")], tools=TOOLS)
        request = running.request([user("Count to 9\nSimulate: hold after 2")])
        async with aclosing(running.backend.run(request)) as left:
            await running.until(left, lambda event: isinstance(event, MessageEvent))
    assert {path.relative_to(tmp_path) for path in files(tmp_path) - before} == set()


def test_notes_of_a_gateway_that_was_killed(tmp_path: Path) -> None:
    """Those of processes that are gone are taken away, those of others and files of other names are not."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = tmp_path / "sessions"
    folder.mkdir()
    kept = {folder / f"{os.getpid()}.json", folder / "other.json", folder / str(gone.pid)}
    for note in [*kept, folder / f"{gone.pid}.json", folder / f"{gone.pid}.0a1b.key"]:
        note.touch()
    Notes({"CLAUDE_CONFIG_DIR": str(tmp_path)}).sweep()
    assert set(folder.iterdir()) == kept


def test_notes_in_the_home(tmp_path: Path) -> None:
    """Where no directory is named they lie in the home; there need be none."""
    notes = Notes({"HOME": str(tmp_path)})
    notes.remove(1)
    notes.sweep()
    folder = tmp_path / ".claude" / "sessions"
    folder.mkdir(parents=True)
    (folder / "1.json").touch()
    (folder / "12.json").touch()
    notes.remove(1)
    assert [note.name for note in folder.iterdir()] == ["12.json"]
