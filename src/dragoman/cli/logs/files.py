"""A log file that does not grow without end."""

import contextlib
import itertools
import os
import stat
import sys
from pathlib import Path

_OWNER_ONLY = 0o600


class LogFile:
    """A file that is appended to, and put aside once it is full: `log`, `log.1` (the one before), `log.2`, ….

    Lines are written whole and at once, and files are put aside by renaming: a crash at any moment leaves at most a
    gap in the numbers. Whoever else writes to the file, or puts it aside, does no harm. It stays open as long as the
    process lives.

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
        self._broken = False
        self._open()

    def write(self, line: bytes) -> None:
        """Add a line. A full disk ends no request: it is said once on the terminal, and lines are lost."""
        try:
            os.write(self._file, line + b"\n")
            self._size += len(line) + 1
            if self._limit and self._size >= self._limit:
                self._turn()
            self._broken = False
        except OSError as error:
            if not self._broken:
                sys.stderr.write(f"The log cannot be written to {self._path}: {error.strerror}. Lines are lost.\n")
            self._broken = True

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        status = os.fstat(self._file)
        self._size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # a terminal, a pipe: nothing to put aside
            self._limit = 0

    def _turn(self) -> None:
        """Put the file aside, if it is still ours and full: another process may have done so, or emptied it."""
        ours = os.fstat(self._file)
        with contextlib.suppress(FileNotFoundError):
            there = self._path.stat()
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                if ours.st_size < self._limit:
                    self._size = ours.st_size
                    return
                self._shift()
        os.close(self._file)
        self._open()

    def _shift(self) -> None:
        if not self._keep:
            self._path.unlink()
            return
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{age}") for age in range(1, self._keep + 1))]
        for younger, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                younger.replace(older)
