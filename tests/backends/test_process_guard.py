"""The shell that ends what a killed gateway leaves behind."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.process_guard import ProcessGuard


async def test_it_ends_what_it_was_told_of_and_nothing_else(tmp_path: Path) -> None:
    """Those that were forgotten go on; each group is ended whole."""
    guard = ProcessGuard()
    await guard.start()
    ends, goes_on, ends_too = [
        await ChildProcess.spawn(["/bin/sh", "-c", "read line; exit 0"], env={}, cwd=tmp_path) for _ in range(3)
    ]
    for process in (ends, goes_on, ends_too):
        guard.add(process.pid)
    guard.remove(goes_on.pid)
    told: list[asyncio.Future[str]] = []
    for process in (ends, ends_too):
        told.append(asyncio.get_running_loop().create_future())
        process.listen(lambda _: None, told[-1].set_result)
    await guard.aclose()
    await asyncio.gather(*told, ends.exited, ends_too.exited)
    assert goes_on.alive
    goes_on.kill()
    await goes_on.exited


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_without_a_shell_nothing_is_missed(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Neither one that was never started nor one that died does harm, on any loop that the gateway runs on."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_without_a_shell())


async def _without_a_shell() -> None:
    never = ProcessGuard()
    never.add(1)
    await never.aclose()
    killed = ProcessGuard()
    await killed.start()
    assert killed._shell
    killed._shell.send_signal(signal.SIGKILL)
    await killed._shell.wait()
    for number in range(10):
        killed.add(number)
        await asyncio.sleep(0)  # lets the loop find out that nobody reads
    killed.remove(1)
    await killed.aclose()


async def test_a_shell_that_ends_is_replaced(tmp_path: Path) -> None:
    """The new shell guards the processes of the old one, and those that were added in between."""
    guard = ProcessGuard()
    await guard.start()
    processes = [await ChildProcess.spawn(["/bin/cat"], env={}, cwd=tmp_path) for _ in range(2)]
    for process in processes:
        process.listen(lambda _: None, lambda _: None)
    guard.add(processes[0].pid)
    first = guard._shell
    assert first
    first.kill()
    await first.wait()
    guard.add(processes[1].pid)

    async def replaced() -> None:
        while guard._shell is first:  # noqa: ASYNC110 - another task replaces it
            await asyncio.sleep(0.01)

    await asyncio.wait_for(replaced(), 60)
    await guard.aclose()
    await asyncio.wait_for(asyncio.gather(*(process.exited for process in processes)), 60)
