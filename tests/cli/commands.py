"""Run the command in a process of its own."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import forked

from dragoman.config.loading import variables
from dragoman.config.settings import Settings

TIMEOUT = 300
"""Seconds after which a command hangs. On a busy machine a command that starts many processes takes minutes."""
COMMAND = str(Path(sys.executable).with_name("dragoman"))
"""The installed command."""


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment with another home and without settings of the gateway."""
    settings = {variable for name in Settings.model_fields for variable in variables(name)}
    inherited = {name: value for name, value in os.environ.items() if name not in settings}
    folders = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
    path = f"{Path(COMMAND).parent}:{inherited.get('PATH', '')}"  # else the command names itself by its path
    return {**inherited, **folders, "PATH": path, "PYTHONUNBUFFERED": "1"}


ALWAYS_INSTALLED = "COVERAGE_PROCESS_CONFIG" in os.environ
"""Whether to start the installed program for each command: only programs are measured in the coverage."""
Process: TypeAlias = asyncio.subprocess.Process | forked.ForkedProcess
"""A running command."""


@asynccontextmanager
async def started(
    home: Path,
    *arguments: str,
    stdout: int = PIPE,
    stderr: int = PIPE,
    added: Mapping[str, str] | None = None,
    program: str | Path | None = COMMAND if ALWAYS_INSTALLED else None,
) -> AsyncIterator[Process]:
    """Start a command. Terminate it at the end, if it is still running.

    Args:
        home: Its home and working directory.
        arguments: Its arguments.
        stdout: A descriptor for its standard output.
        stderr: A descriptor for its standard error.
        added: More environment variables.
        program: An installed program to start. None: the same command runs in a forked process, which needs a tenth
            of the time.
    """
    variables = {**environment(home), **(added or {})}
    process: Process
    if program:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=stdout, stderr=stderr, cwd=home, env=variables
        )
    else:
        process = await forked.start(arguments, home, variables, stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), TIMEOUT)


@dataclass(frozen=True)
class Ended:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


async def run(home: Path, *arguments: str, added: Mapping[str, str] | None = None) -> Ended:
    """Run a command and wait for its end."""
    async with started(home, *arguments, added=added) as process:
        out, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def line(process: Process, text: str) -> str:
    """Return the first line of a process's output that contains a text."""
    assert process.stdout is not None
    while read := await asyncio.wait_for(process.stdout.readline(), TIMEOUT):
        if text in read.decode():
            return read.decode().strip()
    raise AssertionError(f"The process ended without printing {text!r}")
