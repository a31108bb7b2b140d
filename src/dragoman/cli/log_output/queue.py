"""Lines that wait for a thread that writes them, several at once: a slow disk delays no request."""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

_DELAY = 0.1
"""Seconds for which lines are collected. If the process is killed, this is what the log loses."""
_MAX_LINES = 10_000
"""With more lines than this, the caller writes them itself and waits."""


class LineQueue:
    """Lines on their way to a file.

    They are written 100 ms later, by `flush`, at the end of the process, and before a fork has its own queue.

    Args:
        write: Writes lines, without an exception. Called by one thread at a time.
    """

    def __init__(self, write: Callable[[Sequence[bytes]], None]) -> None:
        self._write = write
        self._lines: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        atexit.register(self.flush)
        os.register_at_fork(before=self.flush, after_in_child=self._reset)

    def put(self, line: bytes) -> None:
        """Add a line."""
        self._lines.append(line)
        if not self._wake.is_set():
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            self._wake.set()
        elif len(self._lines) > _MAX_LINES:
            self.flush()

    def flush(self) -> None:
        """Write all lines now."""
        with self._lock:
            lines: list[bytes] = []
            while self._lines:
                lines.append(self._lines.popleft())
            if lines:
                self._write(lines)

    def _reset(self) -> None:
        self._lock, self._wake, self._thread = threading.Lock(), threading.Event(), None

    def _run(self) -> None:
        while self._wake.wait():
            time.sleep(_DELAY)
            self._wake.clear()  # before the lines are taken: one that comes later wakes this thread again
            self.flush()
