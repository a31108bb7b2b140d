"""Running the command as users do: in a process of its own."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dragoman.config.loading import variables
from dragoman.config.settings import Settings

TIMEOUT = 60
COMMAND = str(Path(sys.executable).with_name("dragoman"))
"""The command, as it is installed."""


def environment(home: Path) -> dict[str, str]:
    """This process's environment with a home of its own and none of our settings."""
    ours = {variable for name in Settings.model_fields for variable in variables(name)}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
    return {**kept, **places, "PYTHONUNBUFFERED": "1"}


@asynccontextmanager
async def started(
    home: Path, *arguments: str, stdout: int = PIPE, stderr: int = PIPE, added: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Start a command; end it at the end, if it has not ended by itself."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        stdout=stdout,
        stderr=stderr,
        cwd=home,
        env={**environment(home), **(added or {})},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), TIMEOUT)


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str


async def run(home: Path, *arguments: str, added: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end."""
    async with started(home, *arguments, added=added) as process:
        out, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def line(process: Process, holding: str) -> str:
    """The first line of its output that holds something."""
    assert process.stdout is not None
    while read := await asyncio.wait_for(process.stdout.readline(), TIMEOUT):
        if holding in read.decode():
            return read.decode().strip()
    raise AssertionError(f"It ended without saying {holding!r}")
