"""Standard error, which may be gone before the gateway is: a terminal is closed, a pipe has lost its reader.

A log file that does not grow without end.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_GONE = (errno.EIO, errno.EPIPE)


def to_stderr(line: bytes) -> None:
    """Write a line. What cannot be written is lost: no answer ends for it, and no end of the gateway waits for it."""
    try:
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()
    except OSError as error:
        if error.errno in _GONE:
            _lead_nowhere()


def _lead_nowhere() -> None:
    """Have all that is written from here on, and what is still to be written, go where it does no harm."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stderr.fileno())
    os.close(nothing)


_OWNER_ONLY = 0o600


class LogFile:
    """A file that is appended to, and put aside once it is full: `log`, `log.1` (the one before), `log.2`, ….

    Lines are written whole and at once, by any thread, and files are put aside by renaming: a crash at any moment
    leaves at most a gap in the numbers. Whoever else writes to the file, or puts it aside, does no harm. It stays open
    as long as the process lives.

    Args:
        path: The file. It is made for its owner alone.
        limit: Bytes after which it is put aside; 0: never.
        keep: Files that are kept besides; the oldest goes.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, limit: int, keep: int) -> None:
        self._path = path
        self._limit = limit
        self._keep = keep
        self._broken = self._torn = False
        self._alone = threading.Lock()
        self._open()

    def write(self, line: bytes) -> None:
        """Add a line. A full disk ends no request: it is said once on the terminal, and lines are lost."""
        with self._alone:
            try:
                self._add(line + b"\n")
                if self._limit and self._size >= self._limit:
                    self._turn()
                self._broken = False
            except OSError as error:
                if not self._broken:
                    told = f"The log cannot be written to {self._path}: {error.strerror}. Lines may be lost."
                    to_stderr(told.encode())
                self._broken = True

    def _add(self, line: bytes) -> None:
        """Write a line; where a full disk took a part of the last one, on a line of its own."""
        line = b"\n" + line if self._torn else line
        written = os.write(self._file, line)
        self._size += written
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        status = os.fstat(self._file)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # a terminal, a pipe: nothing to put aside
            self._limit = 0

    def _turn(self) -> None:
        """Put the file aside, and go on with a new one."""
        with _locked(self._file):
            ours = os.fstat(self._file)
            if self._is(ours):
                if ours.st_size < self._limit:  # emptied by somebody
                    self._size = ours.st_size
                    return
                self._shift()
        before = self._file
        self._open()  # where this fails lines still have a file: never one of the same number that is somebody else's
        os.close(before)

    def _is(self, ours: os.stat_result) -> bool:
        """Whether the file is still there under its name: another process may have put it aside."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _shift(self) -> None:
        if not self._keep:
            self._path.unlink()
            return
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{age}") for age in range(1, self._keep + 1))]
        for younger, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                younger.replace(older)


@contextlib.contextmanager
def _locked(file: int) -> Iterator[None]:
    """Hold a file against other processes: of two that find it full, the second would put aside an empty one."""
    with contextlib.suppress(OSError):  # file systems without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
