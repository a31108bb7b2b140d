"""Running the installed command in a terminal, as people do."""

import asyncio
import fcntl
import os
import re
import struct
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from commands import TIMEOUT, environment

INTERRUPT = b"\x03"
INSTALLED = str(Path(sys.executable).with_name("dragoman"))
_OWN_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
_SIZE = struct.Struct("HHHH")
_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """A terminal and the command that runs in it, alone and in front: it has what is typed, Ctrl-C as well."""

    def __init__(self, process: Process, ours: int) -> None:
        self.process = process
        self._ours: int | None = ours
        self._read = b""

    @property
    def shown(self) -> str:
        """All that it has shown so far, as it came."""
        return self._read.decode(errors="replace")

    @property
    def plain(self) -> str:
        """The same without colours and the line ends of terminals."""
        return _CODES.sub("", self.shown).replace("\r\n", "\n")

    async def until(self, words: str) -> None:
        """Read until it has shown something."""
        while words not in self.plain:
            assert await self._more(), f"It ended without showing {words!r}: {self.plain}"

    def type(self, keys: bytes) -> None:
        """Press keys."""
        assert self._ours is not None
        os.write(self._ours, keys)

    async def code(self) -> int:
        """Read to the end, and say how it ended."""
        while await self._more():
            pass
        return await asyncio.wait_for(self.process.wait(), TIMEOUT)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._ours is not None:
            os.close(self._ours)
            self._ours = None

    async def _more(self) -> bool:
        """Wait for more, and say whether there was any."""
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
            return False  # what a terminal says whose last program has gone
        finally:
            loop.remove_reader(self._ours)
        self._read += read
        return bool(read)


@asynccontextmanager
async def terminal(
    home: Path, *arguments: str, columns: int = 80, added: Mapping[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """Run the command in a terminal of so many columns; end it at the end, if it has not ended by itself."""
    given = {**environment(home), "TERM": "xterm-256color", **(added or {})}
    given.pop("COLUMNS", None)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, _SIZE.pack(40, columns, 0, 0))
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _OWN_THE_TERMINAL, INSTALLED, *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=home,
            env=given,
            start_new_session=True,
        )
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
    """Run the command in a terminal to its end: how it ended, and what it showed, without colours."""
    async with terminal(home, *arguments, columns=columns, added=added) as one:
        return await one.code(), one.plain
