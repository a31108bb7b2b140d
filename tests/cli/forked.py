"""Run the command in a process that is forked from one that has imported it already.

Most of the processor time of a short command is Python's start and the imports. A forked process runs the same `main`
with its own arguments, environment, directory and output, for a tenth of the time.
"""

import asyncio
import contextlib
import fcntl
import io
import multiprocessing
import os
import signal
import sys
import termios
import time
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from dragoman.cli.main import COMMANDS, main

_IMPORTED = (
    *sorted({f"dragoman.cli.commands.{entry.module}" for entry in COMMANDS.values()}),
    "dragoman.cli.serving.foreground",
)


class ForkedProcess:
    """A running command, with the parts of `asyncio.subprocess.Process` that the tests use.

    Attributes:
        stdout: Its standard output; None if the caller gave a descriptor.
        stderr: Its standard error; None if the caller gave a descriptor.
    """

    def __init__(
        self, process: ForkServerProcess, stdout: asyncio.StreamReader | None, stderr: asyncio.StreamReader | None
    ) -> None:
        self._process = process
        self.stdout = stdout
        self.stderr = stderr

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while the command runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """Read all output, and wait for the end."""
        out, err = await asyncio.gather(*(_rest(stream) for stream in (self.stdout, self.stderr)))
        await self.wait()
        return out, err


async def start(
    arguments: Sequence[str],
    home: Path,
    variables: Mapping[str, str],
    *,
    stdout: int = PIPE,
    stderr: int = PIPE,
    terminal: int | None = None,
) -> ForkedProcess:
    """Start the command.

    Args:
        arguments: Its arguments.
        home: Its working directory.
        variables: Its environment.
        stdout: A descriptor for its standard output, or `PIPE`.
        stderr: The same for its standard error.
        terminal: A descriptor of the terminal in whose foreground it runs, in place of all three.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    out, read_out = _output(stdout if terminal is None else terminal)
    err, read_err = _output(stderr if terminal is None else terminal)
    with out, err:
        given = (tuple(arguments), str(home), dict(variables), out, err)
        process = context.Process(target=_run, args=given, kwargs={"in_foreground": terminal is not None})
        process.start()
    return ForkedProcess(process, await _reader(read_out), await _reader(read_err))


def _output(target: int) -> tuple[Connection, int | None]:
    """Return the end that the command writes to, and the end that the caller reads from, if the target is `PIPE`."""
    if target != PIPE:
        return Connection(os.dup(target), readable=False), None
    ours, theirs = os.pipe()
    return Connection(theirs, readable=False), ours


async def _reader(descriptor: int | None) -> asyncio.StreamReader | None:
    if descriptor is None:
        return None
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _rest(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


def _run(
    arguments: tuple[str, ...],
    home: str,
    variables: Mapping[str, str],
    stdout: Connection,
    stderr: Connection,
    *,
    in_foreground: bool,
) -> None:
    """Become the command: runs in the forked process."""
    os.chdir(home)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    os.setsid()
    if in_foreground:
        fcntl.ioctl(stdout.fileno(), termios.TIOCSCTTY, 0)
    # Inherited as ignored if the tests run as a background job of a script.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stdin = stdout.fileno() if in_foreground else os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((stdin, stdout.fileno(), stderr.fileno())):
        os.dup2(descriptor, number)
    stdout.close()
    stderr.close()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    sys.stdout, sys.stderr = _unbuffered(1, "strict"), _unbuffered(2, "backslashreplace")
    sys.argv = ["dragoman", *arguments]
    main()


def _unbuffered(descriptor: int, errors: str) -> io.TextIOWrapper:
    """Return a text stream like the one of Python with PYTHONUNBUFFERED."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, write_through=True)
