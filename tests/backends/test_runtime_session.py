"""A session and frames whose reader is gone."""

import asyncio
from pathlib import Path

import pytest

from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.child_process import ChildProcess


async def test_a_result_during_the_cancellation_of_its_run_is_ignored(tmp_path: Path) -> None:
    """The process may answer between the cancellation and the end of the run."""
    process = await ChildProcess.spawn(["/bin/sh", "-c", "read line; read another"], env={}, cwd=tmp_path)
    session = Session(process, silence=10)
    appending = asyncio.create_task(session.append([[{"type": "user"}]]))
    await asyncio.sleep(0)
    appending.cancel()
    session._on_frame({"type": "result"})
    with pytest.raises(asyncio.CancelledError):
        await appending
    session.discard()
    await session.exited
