"""The shell that ends what a killed gateway leaves behind."""

import asyncio
import signal
from pathlib import Path

from dragoman.backends.processes import Guard, Process


async def test_it_ends_what_it_was_told_of_and_nothing_else(tmp_path: Path) -> None:
    """Those that were forgotten go on; each group is ended whole."""
    guard = Guard()
    await guard.start()
    ends, goes_on, ends_too = [
        await Process.spawn(["/bin/sh", "-c", "read line; exit 0"], env={}, cwd=tmp_path) for _ in range(3)
    ]
    for process in (ends, goes_on, ends_too):
        guard.add(process.pid)
    guard.remove(goes_on.pid)
    told: list[asyncio.Future[str]] = []
    for process in (ends, ends_too):
        told.append(asyncio.get_running_loop().create_future())
        process.listen(lambda _: None, told[-1].set_result)
    await guard.aclose()
    await asyncio.gather(*told)
    assert goes_on.alive
    goes_on.kill()
    await goes_on.exited


async def test_without_a_shell_nothing_is_missed() -> None:
    """Neither one that was never started nor one that died does harm."""
    never = Guard()
    never.add(1)
    await never.aclose()
    killed = Guard()
    await killed.start()
    assert killed._shell
    killed._shell.send_signal(signal.SIGKILL)
    await killed._shell.wait()
    killed.add(1)
    killed.remove(1)
    await killed.aclose()
