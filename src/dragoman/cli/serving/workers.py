"""Several worker processes on one port: start them, start those again that die, and stop all of them.

The workers share the listening socket, so a connection that waits when a worker dies is taken by another one. This
process serves no requests. It has no event loop, and forks from a state in which nothing runs.
"""

import os
import select
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from dragoman.core import log
from dragoman.core.value_object import value_object
from dragoman.server.http_server import RESTART

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGNALS = (*_STOP_SIGNALS, RESTART, signal.SIGCHLD)
_FIRST_PAUSE, _MAX_PAUSE = 1.0, 30.0
"""Seconds until a worker that died is started again: doubled each time."""
_STEADY_SECONDS = 60.0
"""A worker that ran for this long begins with the first pause."""
_MAX_SOCKET_PATH = 90
"""Bytes. Systems allow some 100 for the path of a Unix socket."""


@value_object
class WorkerLink:
    """What ties a worker to its supervisor.

    Attributes:
        index: The number of the worker, from 0.
        parent: Readable when the supervisor has ended.
        ready: Where the worker writes a byte when it accepts connections.
        is_first_start: Whether no worker has accepted connections yet.
    """

    index: int
    parent: int
    ready: int
    is_first_start: bool

    def report_ready(self) -> None:
        """Tell the supervisor that the worker accepts connections."""
        os.write(self.ready, b"1")
        os.close(self.ready)


Work: TypeAlias = Callable[[WorkerLink], int]
"""What a worker does, in a process of its own. Returns the exit code."""


@dataclass(slots=True)
class _Worker:
    pid: int | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = _FIRST_PAUSE
    ready: int = field(default=-1)


class Supervisor:
    """Starts workers and keeps them running until a signal.

    Args:
        count: The number of workers.
        work: What each of them does.
        on_stop: Called before the workers are stopped. It must close what this process shares with them: a connection
            that only this process could take would wait until the end, and then be reset. May be called again.
        first_pause: Seconds until a worker that died is started again for the first time.
    """

    def __init__(
        self, count: int, work: Work, *, on_stop: Callable[[], None], first_pause: float = _FIRST_PAUSE
    ) -> None:
        self._work = work
        self._on_stop = on_stop
        self._first_pause = first_pause
        self._workers = [_Worker(pause=first_pause) for _ in range(count)]
        self._stopping = False
        self._again = False
        self._exit_code = 0
        self._has_started = False

    def run(self) -> tuple[int, bool]:
        """Run the workers until a signal stops them.

        The first worker is started alone: if it cannot start, the others cannot either.

        Returns:
            The exit code, and whether the gateway is to start again.
        """
        self._parent_read, self._parent_write = os.pipe()
        with self._signals() as wake:
            self._start(0)
            while any(worker.pid for worker in self._workers) or not self._stopping:
                self._wait(wake)
                self._reap()
                self._start_due()
        os.close(self._parent_read)
        os.close(self._parent_write)
        return self._exit_code, self._again

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Handle signals. Yield what is readable when one came."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        self._wake = (wake_read, wake_write)
        self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        previous_fd = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        try:
            yield wake_read
        finally:
            signal.set_wakeup_fd(previous_fd)
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            os.close(wake_read)
            os.close(wake_write)

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD or (number == signal.SIGHUP and self._stopping):  # see `Server.hang_up`
            return
        self._stopping = True
        self._again = self._again or number == RESTART
        self._on_stop()
        for worker in self._workers:
            if worker.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)

    def _wait(self, wake: int) -> None:
        """Wait for a signal, for a worker that is ready, or for the time at which one is started again."""
        due = [worker.start_at for worker in self._workers if worker.start_at and not worker.pid]
        timeout = max(0.0, min(due) - time.monotonic()) if due and not self._stopping else None
        ready = [worker.ready for worker in self._workers if worker.ready >= 0]
        readable, _, _ = select.select([wake, *ready], [], [], timeout)
        if wake in readable:
            with suppress(BlockingIOError):
                os.read(wake, 1000)
        for worker in self._workers:
            if worker.ready in readable:
                if os.read(worker.ready, 1):
                    self._on_ready()
                os.close(worker.ready)
                worker.ready = -1

    def _on_ready(self) -> None:
        if not self._has_started:
            self._has_started = True
            for worker in self._workers[1:]:
                worker.start_at = time.monotonic()

    def _reap(self) -> None:
        """Take note of every child that has ended. In a container, those of a killed worker become children, too."""
        by_pid = {worker.pid: index for index, worker in enumerate(self._workers) if worker.pid}
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if (index := by_pid.get(pid)) is not None:
                    self._workers[index].pid = None
                    self._on_end(index, self._workers[index], os.waitstatus_to_exitcode(status))

    def _on_end(self, index: int, worker: _Worker, code: int) -> None:
        if self._stopping:
            return
        if not self._has_started:
            self._stopping, self._exit_code = True, code or 1
            return
        now = time.monotonic()
        if now - worker.started_at > _STEADY_SECONDS:
            worker.pause = self._first_pause
        worker.start_at = now + worker.pause
        log.error("worker.ended", worker=index, code=code, retry_in=worker.pause)
        worker.pause = min(2 * worker.pause, _MAX_PAUSE)

    def _start_due(self) -> None:
        for index, worker in enumerate(self._workers):
            is_due = worker.start_at and worker.start_at <= time.monotonic()
            if is_due and not worker.pid and not self._stopping:
                self._start(index)

    def _start(self, index: int) -> None:
        ready_read, ready_write = os.pipe()
        worker = self._workers[index]
        worker.started_at, worker.start_at = time.monotonic(), 0.0
        # A signal waits until the new process is known, and has given up the handlers of this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            os.close(ready_read)
            self._run_worker(WorkerLink(index, self._parent_read, ready_write, not self._has_started))
        os.close(ready_write)
        if worker.ready >= 0:
            os.close(worker.ready)
        worker.pid, worker.ready = pid, ready_read
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _run_worker(self, link: WorkerLink) -> None:
        """Do the work in the new process, and end it. Nothing of the supervisor's may run here, not even at exit."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for descriptor in (*self._wake, self._parent_write, *(one.ready for one in self._workers)):
                if descriptor >= 0:
                    os.close(descriptor)
            os.setpgid(0, 0)  # Ctrl-C reaches the supervisor alone
            code = self._work(link)
        finally:
            os._exit(code)


@contextmanager
def socket_directory(state_dir: Path) -> Iterator[Path]:
    """Create a directory for the sockets of the workers, which only this user can enter. Delete it at the end."""
    parent = state_dir.expanduser().absolute() / "gateways"
    is_short = len(os.fsencode(parent)) < _MAX_SOCKET_PATH - 20
    with tempfile.TemporaryDirectory(prefix="w-", dir=parent if is_short else None, ignore_cleanup_errors=True) as path:
        yield Path(path)
