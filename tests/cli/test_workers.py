"""The supervisor of several workers, and the commands for a gateway that has some."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest
from background_gateway import background_gateway
from commands import run

from dragoman.config.loading import BadSettings, load
from dragoman.wiring.checks import check_settings

_PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from dragoman.cli.serving.workers import Supervisor

folder = Path({folder!r})

def work(link):
    with (folder / "starts").open("a") as file:
        file.write(f"{{link.index}}\\n")
    {work}

print(Supervisor({count}, work, on_stop=lambda: None, first_pause=0.01).run())
"""
_WAITS = "link.report_ready(); signal.pause()"


async def start(folder: Path, work: str, count: int = 3) -> asyncio.subprocess.Process:
    """Start a supervisor whose workers do this work."""
    program = _PROGRAM.format(folder=str(folder), work=work, count=count)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)


async def starts(folder: Path, count: int) -> list[str]:
    """Return the numbers of the workers in the order of their starts, once there are `count`."""
    path = folder / "starts"
    while not path.exists() or len(lines := path.read_text().split()) < count:
        await asyncio.to_thread(path.exists)
    return lines


async def test_workers_that_die_are_started_again(tmp_path: Path) -> None:
    """The first is started alone. One that is killed and one that fails come back, until a signal stops all."""
    fails_twice = f"""
    if link.index == 1 and (folder / "starts").read_text().count("1") < 3:
        link.report_ready()
        raise SystemExit(7)
    (folder / f"pid-{{link.index}}").write_text(str(os.getpid()))
    {_WAITS}"""
    process = await start(tmp_path, fails_twice.replace("{{", "{").replace("}}", "}"))
    lines = await starts(tmp_path, 5)
    assert lines[0] == "0"
    assert sorted(lines) == ["0", "1", "1", "1", "2"]
    while not (tmp_path / "pid-2").exists():
        await asyncio.to_thread(tmp_path.exists)
    os.kill(int((tmp_path / "pid-2").read_text() or "0") or -1, signal.SIGKILL)
    assert (await starts(tmp_path, 6))[5] == "2"
    process.terminate()
    out, _ = await process.communicate()
    assert out.splitlines()[-1] == b"(0, False)"


async def test_a_gateway_that_cannot_start_does_not_try_again(tmp_path: Path) -> None:
    """Its first worker ends before it accepts connections: the exit code is that of the worker."""
    process = await start(tmp_path, "return 3")
    out, _ = await process.communicate()
    assert out.splitlines() == [b"(3, False)"]
    assert (tmp_path / "starts").read_text() == "0\n"


async def test_a_restart_stops_all_workers(tmp_path: Path) -> None:
    """And says that the gateway is to start again."""
    process = await start(tmp_path, _WAITS)
    await starts(tmp_path, 3)
    process.send_signal(signal.SIGUSR2)
    out, _ = await process.communicate()
    assert out.splitlines() == [b"(0, True)"]


async def both_workers(url: str) -> None:
    """Wait until both workers run."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while len((await http.get("/admin/status")).json()["workers"]) < 2:
            pass


async def test_the_commands_work_for_a_gateway_with_workers(tmp_path: Path) -> None:
    """It runs in the background; `status` lists its workers, `restart` and `stop` reach all of them."""
    async with background_gateway(tmp_path, "--simulate", "--backend", "api", "--workers", "2") as gateway:
        await both_workers(gateway.url)
        status = await run(tmp_path, "status")
        restarted = await run(tmp_path, "restart")
        await both_workers(gateway.url)
        again = await run(tmp_path, "status")
        stopped = await run(tmp_path, "stop")
        log = "".join(path.read_text() for path in (tmp_path / "state" / "dragoman").glob("gateway-*.log"))
    assert "Workers          2 processes" in gateway.output
    assert f"pid {gateway.pid}, " in status.out
    assert "Workers" in status.out
    assert restarted.code == again.code == stopped.code == 0
    assert log.count('"server.start"') == log.count('"server.stop"') == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_concurrency": 3}, "max_concurrency is 3"),
        ({"runs_kept": 0}, "records of runs"),
        ({"reload": True}, "--reload"),
    ],
)
def test_what_workers_cannot_keep_is_refused(settings: dict[str, object], message: str, tmp_path: Path) -> None:
    """With the name of the setting: a limit of nothing would stop a worker, and of one would multiply the limit."""
    loaded = load({"workers": 4, "state_dir": tmp_path, "backend": "api", **settings}, env_file=None)
    with pytest.raises(BadSettings, match=message):
        check_settings(loaded)


def test_the_shares_of_the_workers_add_up_to_the_limit() -> None:
    """Of every limit that holds for the whole gateway."""
    limits = {"max_concurrency": 10, "max_queue_size": 5, "max_body_memory": 1003}
    loaded = load({"workers": 4, **limits}, env_file=None)
    shares = [loaded.for_worker(index) for index in range(4)]
    assert {name: sum(getattr(one, name) for one in shares) for name in limits} == limits
    assert sum(one.max_memory for one in shares) == loaded.max_memory
    assert all(one.max_concurrency for one in shares)
