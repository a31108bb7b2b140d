"""A child process and its lines of JSON: nothing of what it wrote is lost when it ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from gateways import soon

from dragoman.backends.shared.child_process import Process
from dragoman.core.messages import JSONObject


class Heard:
    """What a process said, in order, up to its end."""

    def __init__(self, process: Process, tap: Callable[[int, bytes], None] | None = None) -> None:
        self.frames: list[JSONObject] = []
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        process.listen(self.frames.append, self.end.set_result, tap)


@asynccontextmanager
async def told(program: str, folder: Path) -> AsyncIterator[tuple[Process, Heard]]:
    """A shell that waits for a line, which it has got, before it does as told."""
    process = await Process.spawn(["/bin/sh", "-c", f"read line; {program}"], env=dict(os.environ), cwd=folder)
    heard = Heard(process)
    process.send({})
    try:
        yield process, heard
    finally:
        process.kill()
        await process.exited


def until_dead(process: Process) -> None:
    """Hold up the event loop, so that the end of the process and its last words come to it at once."""
    with suppress(ChildProcessError):  # asyncio's own watcher was first
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


async def test_what_is_written_at_the_end_is_read(tmp_path: Path) -> None:
    """Much, and then the end at once: every frame comes, and only then the end."""
    program = r"""exec awk 'BEGIN { for (i = 0; i < 50000; i++) printf "{\"n\":%d}\n", i; exit 3 }'"""
    async with told(program, tmp_path) as (_, heard):
        await soon(heard.end)
        assert [frame["n"] for frame in heard.frames] == list(range(50_000))


@pytest.mark.parametrize("last", [r"\n", ""], ids=["a line", "no line"])
async def test_what_is_in_the_pipe_when_it_is_gone_is_read(tmp_path: Path, last: str) -> None:
    """Also where its end is known first; and a last line needs no end."""
    async with told(f"""printf '{{"n":1}}\\n{{"n":2}}{last}'""", tmp_path) as (process, heard):
        until_dead(process)
        await soon(heard.end)
        assert heard.frames == [{"n": 1}, {"n": 2}]
        assert not process.alive


async def test_half_a_frame_is_none(tmp_path: Path) -> None:
    """What was cut short is not taken."""
    async with told("""printf '{"n":1}\\n{"n":'""", tmp_path) as (_, heard):
        await soon(heard.end)
        assert heard.frames == [{"n": 1}]


async def test_what_it_left_behind_does_not_hold_up_its_end(tmp_path: Path) -> None:
    """Something else has the pipe still open: the process has said its last word nevertheless."""
    async with told("""sleep 3600 & echo "{\\"left\\":$!}"; exit 4""", tmp_path) as (process, heard):
        assert await soon(heard.end) == "it ended with status 4"
        [frame] = heard.frames
        os.kill(int(str(frame["left"])), signal.SIGKILL)
        assert not process.alive


async def test_nothing_is_heard_of_one_that_was_killed(tmp_path: Path) -> None:
    """Neither what is in the pipe nor its end, also where it is reaped and its output still open."""
    async with told("""sleep 3600 & echo $! > left; echo '{}'""", tmp_path) as (process, heard):
        await soon(process.exited)
        process.kill()
        heard.frames.clear()
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    assert not heard.frames
    assert not heard.end.done()


async def test_what_it_says_before_anybody_listens_is_kept_for_them(tmp_path: Path) -> None:
    """In order, what is tapped as well, and its end last."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = f"""echo '{{"n":1}}'; echo why >&2; echo '{{"n":2}}'; echo said > {fifo}; read line; exit 5"""
    process = await Process.spawn(["/bin/sh", "-c", program], env=dict(os.environ), cwd=tmp_path)
    await soon(asyncio.to_thread(fifo.read_text))
    for _ in range(3):  # the loop reads what is in the pipes
        await asyncio.sleep(0)
    tapped: list[int] = []
    heard = Heard(process, lambda fd, _: tapped.append(fd))
    assert heard.frames == [{"n": 1}, {"n": 2}]
    assert set(tapped) == {1, 2}
    assert process.complaints == "why"
    process.send({})
    await soon(heard.end)
    await soon(process.exited)


async def test_one_that_is_gone_before_anybody_listens(tmp_path: Path) -> None:
    """What it said, and that it is gone, is told to whoever comes."""
    process = await Process.spawn(["/bin/sh", "-c", """echo '{"n":1}'"""], env=dict(os.environ), cwd=tmp_path)
    await soon(process.exited)
    heard = Heard(process)
    await soon(heard.end)
    assert heard.frames == [{"n": 1}]
