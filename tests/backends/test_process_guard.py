"""The shell that kills the processes of a killed gateway."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from gateways import until

from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.process_guard import ProcessGuard


async def test_it_kills_the_guarded_processes_and_no_other(tmp_path: Path) -> None:
    """A removed process lives on. Each process group is killed as a whole."""
    guard = ProcessGuard()
    await guard.start()
    first, removed, second = [
        await ChildProcess.spawn(["/bin/sh", "-c", "read line; exit 0"], env={}, cwd=tmp_path) for _ in range(3)
    ]
    for process in (first, removed, second):
        guard.add(process.pid)
    guard.remove(removed.pid)
    ends: list[asyncio.Future[str]] = []
    for process in (first, second):
        ends.append(asyncio.get_running_loop().create_future())
        process.listen(lambda _: None, ends[-1].set_result)
    await guard.aclose()
    await asyncio.gather(*ends, first.exited, second.exited)
    assert removed.alive
    removed.kill()
    await removed.exited


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_without_a_shell_it_does_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Neither a guard that was never started nor a dead shell raises, on any loop that the gateway runs on."""
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
        await asyncio.sleep(0)  # the loop finds out that the pipe has no reader
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
    await until(lambda: guard._shell is not first)
    await guard.aclose()
    await asyncio.wait_for(asyncio.gather(*(process.exited for process in processes)), 60)


async def test_a_lost_shell_is_reported_until_a_new_one_works() -> None:
    """By the guard, for the readiness of the gateway."""
    guard = ProcessGuard(trial=0.01)
    await guard.start()
    assert guard.failures() == {}
    assert guard._shell
    guard._shell.kill()
    await until(guard.failures)
    assert "status -9" in guard.failures()["process-guard"]
    await until(lambda: not guard.failures())
    await guard.aclose()
