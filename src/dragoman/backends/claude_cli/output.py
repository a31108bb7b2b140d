"""The output of runs in files of the state directory, for the operator to look into failures.

Secrets are removed line by line before anything is written. Files are opened, written and removed off the event loop.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from dragoman.backends.shared.message_reader import without_deltas
from dragoman.core import log
from dragoman.core.redaction import Redactor

_FOLDER = "output"
_SUFFIXES = {1: "stdout", 2: "stderr"}


class Output:
    """The output of one run, in two files. Its owner closes it."""

    def __init__(self, folder: Path, run: str, redactor: Redactor) -> None:
        """Create the files. Blocks."""
        self._redactor = redactor
        self._paths = {fd: folder / f"{run}.{suffix}" for fd, suffix in _SUFFIXES.items()}
        self._files = {fd: _create(path) for fd, path in self._paths.items()}
        self._partial_lines = dict.fromkeys(_SUFFIXES, b"")
        self._pending: list[tuple[int, bytes]] = []
        self._writer: asyncio.Task[None] | None = None
        self._is_writable = True

    def write(self, fd: int, data: bytes) -> None:
        """Take output from stdout (1) or stderr (2). A task writes it."""
        if not self._is_writable:
            return
        self._pending.append((fd, data))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending(), name="cli-output")

    async def aclose(self, *, keep: bool) -> None:
        """Write what is pending, and close the files. Remove them unless `keep` is set."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
        await asyncio.to_thread(self._close, keep=keep)

    async def _write_pending(self) -> None:
        try:
            while self._pending:
                pieces, self._pending = self._pending, []
                await asyncio.to_thread(self._write_pieces, pieces)
        except OSError as error:
            self._is_writable = False
            self._pending.clear()
            log.warning("cli.output_lost", reason=error.strerror)

    # These run in a thread, one call at a time.

    def _write_pieces(self, pieces: list[tuple[int, bytes]]) -> None:
        for fd, data in pieces:
            *lines, self._partial_lines[fd] = (self._partial_lines[fd] + data).split(b"\n")
            if lines:
                self._write_lines(fd, lines)

    def _write_lines(self, fd: int, lines: list[bytes]) -> None:
        data = b"".join(self._redact(line) + b"\n" for line in lines)
        while data:
            data = data[os.write(self._files[fd], data) :]

    def _redact(self, line: bytes) -> bytes:
        try:
            frame = msgspec.json.decode(line)
        except msgspec.DecodeError:
            return self._redactor.text(line.decode(errors="replace")).encode()
        return msgspec.json.encode(self._redactor.data(without_deltas(frame) if isinstance(frame, dict) else frame))

    def _close(self, *, keep: bool) -> None:
        try:
            for fd, line in self._partial_lines.items():
                if line and keep and self._is_writable:
                    self._write_lines(fd, [line])
        except OSError as error:
            log.warning("cli.output_lost", reason=error.strerror)
        finally:
            for file in self._files.values():
                os.close(file)
        if not keep:
            _remove(self._paths.values())


class Outputs:
    """The output files of all runs, limited in number and age. The oldest are removed first. All methods block."""

    def __init__(
        self,
        state_dir: Path,
        *,
        max_runs: int,
        max_age: float,
        redactor: Redactor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Name the directory.

        Args:
            state_dir: The gateway's own directory.
            max_runs: The maximum number of runs whose output is kept.
            max_age: Seconds that it is kept.
            redactor: Removes secrets.
            clock: The current time in seconds since 1970.
        """
        self._redactor = redactor
        self.folder = state_dir / _FOLDER
        self._max_runs = max_runs
        self._max_age = max_age
        self._clock = clock

    def prepare(self) -> None:
        """Create the directory, and remove old files."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.prune()

    def create(self, run: str) -> Output:
        """Create the files of a run."""
        return Output(self.folder, run, self._redactor)

    def prune(self) -> None:
        """Remove the files of runs that are too old or too many."""
        times: dict[str, float] = {}
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another gateway with this state directory removed it
                times[path.stem] = max(times.get(path.stem, 0.0), path.stat().st_mtime)
        newest = sorted(times, key=times.__getitem__, reverse=True)
        kept = {run for run in newest[: self._max_runs] if times[run] > self._clock() - self._max_age}
        for run in times.keys() - kept:
            _remove(self.folder / f"{run}.{suffix}" for suffix in _SUFFIXES.values())


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
