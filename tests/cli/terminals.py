"""Run the command in a terminal."""

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import forked
from commands import ALWAYS_INSTALLED, COMMAND, TIMEOUT, Process, environment

INTERRUPT = b"\x03"
_OWN_THE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a command as a shell does in the foreground. If the tests run as a background job of a script, they inherit an
ignored SIGINT, and without a reset every command would ignore Ctrl-C."""
_SIZE = struct.Struct("HHHH")
_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A terminal and the command in its foreground, which receives all keys including Ctrl-C."""

    def __init__(self, process: Process, ours: int) -> None:
        self.process = process
        self._ours: int | None = ours
        self._read = b""

    @property
    def shown(self) -> str:
        """All output so far, including control codes."""
        return self._read.decode(errors="replace")

    @property
    def plain(self) -> str:
        """All output so far, without control codes and with plain line ends."""
        return _CODES.sub("", self.shown).replace("\r\n", "\n")

    async def until(self, text: str) -> None:
        """Read until the output contains a text."""
        while text not in self.plain:
            assert await self._more(), f"The command ended without printing {text!r}: {self.plain}"

    def type(self, keys: bytes) -> None:
        """Type keys."""
        assert self._ours is not None
        os.write(self._ours, keys)

    async def code(self) -> int:
        """Read to the end, and return the exit code."""
        while await self._more():
            pass
        return await asyncio.wait_for(self.process.wait(), TIMEOUT)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None

    async def _more(self) -> bool:
        """Wait for more output. Return whether there was any."""
        assert self._ours is not None
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._ours, ready.set)
        try:
            await asyncio.wait_for(ready.wait(), TIMEOUT)
            read = os.read(self._ours, 65_536)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return False  # how Linux reports that the last program closed the terminal
        finally:
            loop.remove_reader(self._ours)
        self._read += read
        return bool(read)


@asynccontextmanager
async def terminal(
    home: Path,
    *arguments: str,
    columns: int = 80,
    added: Mapping[str, str] | None = None,
    installed: bool = ALWAYS_INSTALLED,
) -> AsyncIterator[Terminal]:
    """Run the command in a terminal. Terminate it at the end, if it is still running.

    Args:
        home: Its home and working directory.
        arguments: Its arguments.
        columns: The width of the terminal.
        added: More environment variables.
        installed: Whether to start the installed program; see `commands.started`.
    """
    given = {**environment(home), "TERM": "xterm-256color", **(added or {})}
    given.pop("COLUMNS", None)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE.pack(40, columns, 0, 0))
    process: Process
    try:
        if installed:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _OWN_THE_TERMINAL, COMMAND, *arguments),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                cwd=home,
                env=given,
                start_new_session=True,
            )
        else:
            process = await forked.start(arguments, home, given, terminal=theirs)
    finally:
        os.close(theirs)
    begun = Terminal(process, ours)
    try:
        yield begun
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), TIMEOUT)
        begun.hang_up()


async def in_terminal(
    home: Path, *arguments: str, columns: int = 80, added: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command in a terminal to its end. Return the exit code and the output without control codes."""
    async with terminal(home, *arguments, columns=columns, added=added) as one:
        return await one.code(), one.plain
