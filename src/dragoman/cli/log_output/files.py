"""Where log lines are written: standard error, and log files with rotation."""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

_CLOSED = (errno.EIO, errno.EPIPE)
"""Errors of a terminal that was closed, or of a pipe without a reader."""
_OWNER_ONLY = 0o600


def write_to_stderr(line: bytes) -> None:
    """Write a line to standard error. A line that cannot be written is lost, so that no request fails because of it."""
    try:
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()
    except OSError as error:
        if error.errno in _CLOSED:
            _redirect_stderr_to_null()


def _redirect_stderr_to_null() -> None:
    """Discard everything that is still buffered or written later. Otherwise it would fail again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stderr.fileno())
    os.close(null)


class LogFile:
    """A log file that is rotated when it is full: `log`, then `log.1` (the newest old file), `log.2` and so on.

    Lines are written by any thread, with one system call for as many as fit into the file. Files are rotated by
    renaming, so a crash leaves at most a gap in the numbers. Other processes may write to the same file or rotate it.
    The file stays open until the process ends.

    Args:
        path: The file. It is created with access for its owner only.
        limit: Bytes after which the file is rotated. 0: never.
        keep: How many old files are kept.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, limit: int, keep: int) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep
        self._is_failing = self._is_torn = False
        self._lock = threading.Lock()
        self._open()

    def write(self, line: bytes) -> None:
        """Write a line; see `write_lines`."""
        self.write_lines((line,))

    def write_lines(self, lines: Sequence[bytes]) -> None:
        """Write lines. If the disk is full, report it once on standard error; lines are lost, no request fails."""
        with self._lock:
            for text in self._up_to_rotation(lines):
                try:
                    self._append(text)
                    if self._limit and self._size >= self._limit:
                        self._rotate()
                    self._is_failing = False
                except OSError as error:
                    if not self._is_failing:
                        report = f"The log cannot be written to {self._path}: {error.strerror}. Lines may be lost."
                        write_to_stderr(report.encode())
                    self._is_failing = True

    def _up_to_rotation(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the lines in texts. After each text the file may be full."""
        if not self._limit:
            yield b"\n".join((*lines, b""))
            return
        part: list[bytes] = []
        size = 0
        for line in lines:
            part += (line, b"\n")
            size += len(line) + 1
            if self._size + size >= self._limit:
                yield b"".join(part)
                part, size = [], 0
        if part:
            yield b"".join(part)

    def _append(self, text: bytes) -> None:
        """Write lines. If a full disk cut the previous line, start on a new line."""
        text = b"\n" + text if self._is_torn else text
        written = os.write(self._file, text)
        self._size += written
        self._is_torn = written < len(text)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        status = os.fstat(self._file)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # a terminal or a pipe cannot be rotated
            self._limit = 0

    def _rotate(self) -> None:
        """Rename the full file and open a new one."""
        with _locked(self._file):
            status = os.fstat(self._file)
            if self._is_current(status):
                if status.st_size < self._limit:  # truncated by another process
                    self._size = status.st_size
                    return
                self._shift_files()
        old = self._file
        self._open()  # if this fails, the old file stays open, and no other file gets its descriptor
        os.close(old)

    def _is_current(self, status: os.stat_result) -> bool:
        """Return whether the open file still has its name. Another process may have rotated it."""
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)

    def _shift_files(self) -> None:
        if not self._keep:
            self._path.unlink()
            return
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{age}") for age in range(1, self._keep + 1))]
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


@contextlib.contextmanager
def _locked(file: int) -> Iterator[None]:
    """Lock a file against other processes. Otherwise a second process that finds it full rotates an empty file."""
    with contextlib.suppress(OSError):  # the file system may not support locks
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
