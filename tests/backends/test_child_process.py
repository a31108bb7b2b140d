"""A child process and its lines of JSON: no output is lost at its end, and no failure goes unreported."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from gateways import with_timeout

from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.messages import JSONObject

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


class Listener:
    """The frames of a process, in order, and the reason of its end."""

    def __init__(self, process: ChildProcess, on_output: Callable[[int, bytes], None] | None = None) -> None:
        self.frames: list[JSONObject] = []
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        process.listen(self.frames.append, self.end.set_result, on_output)


async def spawn(program: str, folder: Path) -> ChildProcess:
    """Start a shell."""
    return await ChildProcess.spawn(["/bin/sh", "-c", program], env=dict(os.environ), cwd=folder)


@asynccontextmanager
async def started(program: str, folder: Path) -> AsyncIterator[tuple[ChildProcess, Listener]]:
    """A shell that reads one line, which is already written, and then runs a program."""
    process = await spawn(f"read line; {program}", folder)
    listener = Listener(process)
    process.send({})
    try:
        yield process, listener
    finally:
        process.kill()
        await process.exited


def block_until_dead(process: ChildProcess) -> None:
    """Block the event loop, so that the exit of the process and its last output arrive at the same time."""
    with suppress(ChildProcessError):  # asyncio's own watcher was first
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


async def test_output_right_before_the_exit_is_read(tmp_path: Path) -> None:
    """A process writes much and exits at once: every frame arrives, and the end comes after the last one."""
    program = r"""exec awk 'BEGIN { for (i = 0; i < 50000; i++) printf "{\"n\":%d}\n", i; exit 3 }'"""
    async with started(program, tmp_path) as (_, listener):
        await with_timeout(listener.end)
        assert [frame["n"] for frame in listener.frames] == list(range(50_000))


@pytest.mark.parametrize("last", [r"\n", ""], ids=["newline", "no newline"])
async def test_output_in_the_pipe_of_a_dead_process_is_read(tmp_path: Path, last: str) -> None:
    """The output is read even if the exit is known first. The last line needs no newline."""
    async with started(f"""printf '{{"n":1}}\\n{{"n":2}}{last}'""", tmp_path) as (process, listener):
        block_until_dead(process)
        await with_timeout(listener.end)
        assert listener.frames == [{"n": 1}, {"n": 2}]
        assert not process.alive


async def test_an_incomplete_last_frame_is_dropped(tmp_path: Path) -> None:
    """Half a frame is not a frame."""
    async with started("""printf '{"n":1}\\n{"n":'""", tmp_path) as (_, listener):
        await with_timeout(listener.end)
        assert listener.frames == [{"n": 1}]


async def test_a_descendant_with_an_open_stdout_does_not_delay_the_end(tmp_path: Path) -> None:
    """A background child keeps the pipe open. The end is reported nevertheless."""
    async with started("""sleep 3600 & echo "{\\"left\\":$!}"; exit 4""", tmp_path) as (process, listener):
        assert await with_timeout(listener.end) == "it ended with status 4"
        [frame] = listener.frames
        os.kill(int(str(frame["left"])), signal.SIGKILL)
        assert not process.alive


async def test_a_killed_process_calls_nothing(tmp_path: Path) -> None:
    """After `kill`, neither output in the pipe nor the end is reported, even if the pipe is still open."""
    async with started("""sleep 3600 & echo $! > left; echo '{}'""", tmp_path) as (process, listener):
        await with_timeout(process.exited)
        process.kill()
        listener.frames.clear()
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)
    assert not listener.frames
    assert not listener.end.done()


async def test_output_before_listen_is_buffered(tmp_path: Path) -> None:
    """`listen` gets earlier output in order, raw pieces too, and the end last."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = await spawn(
        f"""echo '{{"n":1}}'; echo why >&2; echo '{{"n":2}}'; echo said > {fifo}; read line; exit 5""", tmp_path
    )
    await with_timeout(asyncio.to_thread(fifo.read_text))
    for _ in range(3):  # the loop reads what is in the pipes
        await asyncio.sleep(0)
    pieces: list[int] = []
    listener = Listener(process, lambda fd, _: pieces.append(fd))
    assert listener.frames == [{"n": 1}, {"n": 2}]
    assert set(pieces) == {1, 2}
    assert process.stderr_tail == "why"
    process.send({})
    await with_timeout(listener.end)
    await with_timeout(process.exited)


async def test_an_exit_before_listen_is_reported(tmp_path: Path) -> None:
    """`listen` reports output and end of a process that is already gone."""
    process = await spawn("""echo '{"n":1}'""", tmp_path)
    await with_timeout(process.exited)
    listener = Listener(process)
    await with_timeout(listener.end)
    assert listener.frames == [{"n": 1}]


def reject(*_: object) -> None:
    """A callback that cannot process its arguments."""
    raise KeyError("event")


@pytest.mark.parametrize("failing", ["on_frame", "on_output", "on_stderr"])
@pytest.mark.parametrize("end", ["exec sleep 3600", "exit 0"], ids=["lives on", "exits"])
async def test_a_callback_that_raises_ends_the_process_at_once(tmp_path: Path, failing: str, end: str) -> None:
    """The end is reported with the reason, so that the run that waits for the process fails."""
    process = await spawn(f"""read line; echo why >&2; echo '{{"n":1}}'; {end}""", tmp_path)
    listener = Listener(process)
    setattr(process, failing, reject)
    process.send({})
    assert await with_timeout(listener.end) == "it wrote what the gateway cannot process (KeyError)"
    assert not process.alive
    await with_timeout(process.exited)


async def test_a_callback_that_raises_at_the_last_line_ends_the_process(tmp_path: Path) -> None:
    """A last line without a newline is handled after stdout is closed. The reason is the same."""
    async with started("""printf '{"n":1}'; exec sleep 3600 >&-""", tmp_path) as (process, listener):
        process.on_frame = reject
        assert await with_timeout(listener.end) == "it wrote what the gateway cannot process (KeyError)"


async def test_no_frame_follows_a_callback_that_raised(tmp_path: Path) -> None:
    """The rest of the same read is dropped."""
    async with started("""printf '{"n":1}\\n{"n":2}\\n'; exec sleep 3600""", tmp_path) as (process, listener):
        frames: list[JSONObject] = []

        def take(frame: JSONObject) -> None:
            frames.append(frame)
            reject()

        process.on_frame = take
        await with_timeout(listener.end)
        assert frames == [{"n": 1}]


@pytest.mark.parametrize(
    ("size", "reason"),
    [(0, "it closed its input"), (2_000_000, "it did not read all of its input")],
    ids=["idle", "busy"],
)
async def test_a_closed_stdin_ends_the_process(tmp_path: Path, size: int, reason: str) -> None:
    """A process that closes its stdin and lives on cannot be used: its run fails at once, not by a timeout.

    Only asyncio's own loop can tell: with uvloop a child holds a second descriptor of its stdin, open until it exits.
    """
    async with started("exec sleep 3600 <&-", tmp_path) as (process, listener):
        if size:
            process.send({"text": "x" * size})
        assert await with_timeout(listener.end) == reason
        assert not process.alive


@LOOPS
def test_output_after_a_closed_stdin_is_read(tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A process that exits without reading its input is reported with its last output and its status."""

    async def exits_without_reading() -> None:
        process = await spawn("""exec <&-; echo '{"n":1}'; exit 3""", tmp_path)
        listener = Listener(process)
        process.send({"text": "x" * 2_000_000})
        await with_timeout(listener.end)
        assert listener.frames == [{"n": 1}]
        await with_timeout(process.exited)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(exits_without_reading())


@LOOPS
def test_a_closed_input_is_no_failure(tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """After `close_input` the process works as long as it needs."""

    async def works_on() -> None:
        process = await spawn("""cat > /dev/null; exec <&-; sleep 0.7; echo '{"n":1}'""", tmp_path)
        listener = Listener(process)
        process.send({"text": "x" * 2_000_000})
        process.close_input()
        await with_timeout(listener.end)
        assert listener.frames == [{"n": 1}]
        await with_timeout(process.exited)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(works_on())


_PRIORITIES = """
import asyncio, os
from pathlib import Path
from dragoman.backends.shared.child_process import ChildProcess

async def main():
    process = await ChildProcess.spawn(["/bin/cat"], env={}, cwd=Path.cwd())
    print(*(os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, process.pid)))
    process.kill()
    await process.exited

asyncio.run(main())
"""


async def test_a_process_is_less_important_than_the_gateway(tmp_path: Path) -> None:
    """Also if the gateway itself was started with a low priority."""
    command = ["nice", "-n", "7", sys.executable, "-c", _PRIORITIES]
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    gateway, child = map(int, output.split())
    assert gateway >= 7
    assert child == min(19, gateway + 5)
