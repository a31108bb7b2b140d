"""The end of an agent's run: its processes, the processes that these started, and its files."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
from agent_harness import AgentHost, agents, bash, describe_actions
from file_watch import file_operations
from gateways import WatchedProcess, with_timeout

from dragoman.backends.claude_code.agent.workspace import FOLDER, MARK, AgentWorkspace, end_descendants
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import remove_stale_files
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.events import Event

ENDLESS = "perl -e 'sleep 3600'"
LEAVES_ITS_SESSION = f"(setsid sh -c 'echo $$ > {{fifo}}; exec {ENDLESS}' &) "


async def read_pid(fifo: Path) -> int:
    """Return the process id that a command writes when it runs."""
    return int(await with_timeout(asyncio.to_thread(fifo.read_text)))


@asynccontextmanager
async def running_agent(host: AgentHost, command: str) -> AsyncIterator[AsyncIterator[Event]]:
    """An agent that runs a command. Its events are read until the end of the context."""
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


async def test_closing_a_run_ends_what_it_started(tmp_path: Path) -> None:
    """The command in its own session ends, and so does a process that left that session."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifos = [tmp_path / "one", tmp_path / "two"]
        for fifo in fifos:
            os.mkfifo(fifo)
        command = f"{LEAVES_ITS_SESSION.format(fifo=fifos[0])}; echo $$ > {fifos[1]}; exec {ENDLESS}"
        async with running_agent(host, command):
            processes = [WatchedProcess(await read_pid(fifo)) for fifo in fifos]
            assert host.runtime.processes["agents"] == 1
        for process in processes:
            await process.exited()
        assert host.workspaces == []
        assert host.runtime.processes["all"] == 0


async def test_a_successful_run_leaves_no_process(tmp_path: Path) -> None:
    """A background process of a command ends with the agent."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        run = asyncio.create_task(host.ask(bash(f"{LEAVES_ITS_SESSION.format(fifo=fifo)}; cat inside.txt")))
        background_process = WatchedProcess(await read_pid(fifo))
        assert "TEXT OF THE FILE" in describe_actions(await with_timeout(run))
        await background_process.exited()


async def test_closing_the_backend_ends_agents(tmp_path: Path) -> None:
    """Also while a tool runs."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        async with running_agent(host, f"echo $$ > {fifo}; exec {ENDLESS}"):
            processes = WatchedProcess(await read_pid(fifo))
            await with_timeout(host.runtime.backend.aclose())
        await processes.exited()
        assert host.workspaces == []


async def test_a_killed_gateway_leaves_no_command_behind(tmp_path: Path) -> None:
    """The guard finds a process by its mark, also one that left its process group."""
    guard = ProcessGuard(f"{MARK}=here/")
    await guard.start()
    commands = [
        await ChildProcess.spawn(
            ["/bin/sh", "-c", "exec sleep 3600"], env={MARK: mark, "PATH": "/usr/bin:/bin"}, cwd=tmp_path
        )
        for mark in ("here/run", "elsewhere/run")
    ]
    processes = WatchedProcess(commands[0].pid)
    await guard.aclose()
    await processes.exited()
    assert commands[1].alive
    assert psutil.Process(commands[1].pid).status() != psutil.STATUS_ZOMBIE
    for command in commands:
        command.kill()
    await asyncio.gather(*(command.exited for command in commands))


async def test_only_marked_processes_are_ended(tmp_path: Path) -> None:
    """The processes of another run continue."""
    marked, other = [
        await ChildProcess.spawn(
            ["/bin/sh", "-c", "exec sleep 3600"], env={MARK: mark, "PATH": "/usr/bin:/bin"}, cwd=tmp_path
        )
        for mark in ("here/a", "here/ab")
    ]
    await asyncio.to_thread(end_descendants, "here/a", [])
    await with_timeout(marked.exited)
    assert other.alive
    for process in (marked, other):
        process.kill()
    await other.exited


def test_files_of_killed_gateways_are_removed(tmp_path: Path) -> None:
    """The next start removes them, and leaves the files of a running gateway."""
    own = AgentWorkspace(tmp_path, "run", {"any": {"command": "sh", "env": {"TOKEN": "t"}}}, "mark")
    own.create()
    assert own.server_file
    assert own.server_file.stat().st_mode & 0o777 == 0o600
    assert own.config.parent.stat().st_mode & 0o777 == 0o700
    running = tmp_path / "agents" / f"{os.getppid()}-run"
    running.mkdir()
    remove_stale_files(tmp_path / FOLDER)
    assert list((tmp_path / "agents").iterdir()) == [running]


async def test_files_are_handled_off_the_event_loop(tmp_path: Path) -> None:
    """The loop's thread does not open, list or remove a file of the workspace."""
    with file_operations(tmp_path / "state") as operations:
        async with agents(tmp_path) as host:
            await host.ask("Reply with exactly: PONG")
    assert operations == []
