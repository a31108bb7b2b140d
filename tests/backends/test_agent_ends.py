"""What becomes of an agent's processes, and of all that they start, however its run ends."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
from agent_harness import AgentHost, agents, bash, did
from file_watch import file_operations
from gateways import WatchedProcess, with_timeout

from dragoman.backends.claude_code.agent.workspace import FOLDER, MARK, AgentWorkspace, end_descendants
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import remove_stale_files
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.events import Event

ENDLESS = "perl -e 'sleep 3600'"
LEAVES_ITS_SESSION = f"(setsid sh -c 'echo $$ > {{fifo}}; exec {ENDLESS}' &) "


async def told(fifo: Path) -> int:
    """The number that a command writes once it runs."""
    return int(await with_timeout(asyncio.to_thread(fifo.read_text)))


@asynccontextmanager
async def at_work(host: AgentHost, command: str) -> AsyncIterator[AsyncIterator[Event]]:
    """An agent that runs a command, from when it says so."""
    async with aclosing(host.runtime.backend.run(host.request(bash(command)))) as running:
        reading = asyncio.create_task(_read(running))
        try:
            yield running
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _read(running: AsyncIterator[Event]) -> None:
    async for _ in running:
        pass


async def test_a_run_that_is_given_up_ends_what_it_started(tmp_path: Path) -> None:
    """The command in its session of its own, and what left that as well."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifos = [tmp_path / "one", tmp_path / "two"]
        for fifo in fifos:
            os.mkfifo(fifo)
        command = f"{LEAVES_ITS_SESSION.format(fifo=fifos[0])}; echo $$ > {fifos[1]}; exec {ENDLESS}"
        async with at_work(host, command):
            watched = [WatchedProcess(await told(fifo)) for fifo in fifos]
            assert host.runtime.processes["agents"] == 1
        for process in watched:
            await process.exited()
        assert host.left == []
        assert host.runtime.processes["all"] == 0


async def test_a_run_that_ends_well_leaves_nothing_running(tmp_path: Path) -> None:
    """What a command left behind ends with the agent."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        asking = asyncio.create_task(host.ask(bash(f"{LEAVES_ITS_SESSION.format(fifo=fifo)}; cat inside.txt")))
        left = WatchedProcess(await told(fifo))
        assert "TEXT OF THE FILE" in did(await with_timeout(asking))
        await left.exited()


async def test_closing_the_backend_ends_them(tmp_path: Path) -> None:
    """Also while a tool is at work."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        async with at_work(host, f"echo $$ > {fifo}; exec {ENDLESS}"):
            watched = WatchedProcess(await told(fifo))
            await with_timeout(host.runtime.backend.aclose())
        await watched.exited()
        assert host.left == []


async def test_a_killed_gateway_leaves_no_command_behind(tmp_path: Path) -> None:
    """The guard finds by its mark what has left the group that it was told of."""
    guard = ProcessGuard(f"{MARK}=here/")
    await guard.start()
    commands = [
        await ChildProcess.spawn(
            ["/bin/sh", "-c", "exec sleep 3600"], env={MARK: mark, "PATH": "/usr/bin:/bin"}, cwd=tmp_path
        )
        for mark in ("here/run", "elsewhere/run")
    ]
    watched = WatchedProcess(commands[0].pid)
    await guard.aclose()
    await watched.exited()
    assert commands[1].alive
    assert psutil.Process(commands[1].pid).status() != psutil.STATUS_ZOMBIE
    for command in commands:
        command.kill()
    await asyncio.gather(*(command.exited for command in commands))


async def test_only_marked_processes_are_ended(tmp_path: Path) -> None:
    """Those of another run go on."""
    ours, theirs = [
        await ChildProcess.spawn(
            ["/bin/sh", "-c", "exec sleep 3600"], env={MARK: mark, "PATH": "/usr/bin:/bin"}, cwd=tmp_path
        )
        for mark in ("here/a", "here/ab")
    ]
    await asyncio.to_thread(end_descendants, "here/a", [])
    await with_timeout(ours.exited)
    assert theirs.alive
    for process in (ours, theirs):
        process.kill()
    await theirs.exited


def test_files_of_killed_gateways_are_removed(tmp_path: Path) -> None:
    """At the next start; those of one that lives are left alone."""
    of_ours = AgentWorkspace(tmp_path, "run", {"any": {"command": "sh", "env": {"TOKEN": "t"}}}, "mark")
    of_ours.create()
    assert of_ours.server_file
    assert of_ours.server_file.stat().st_mode & 0o777 == 0o600
    assert of_ours.config.parent.stat().st_mode & 0o777 == 0o700
    of_living = tmp_path / "agents" / f"{os.getppid()}-run"
    of_living.mkdir()
    remove_stale_files(tmp_path / FOLDER)
    assert list((tmp_path / "agents").iterdir()) == [of_living]


async def test_files_are_handled_off_the_event_loop(tmp_path: Path) -> None:
    """The loop's thread does not open, list or remove a file of the workspace."""
    with file_operations(tmp_path / "state") as operations:
        async with agents(tmp_path) as host:
            await host.ask("Reply with exactly: PONG")
    assert operations == []
