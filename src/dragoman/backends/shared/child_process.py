"""A child process that writes newline-delimited JSON to its stdout.

This module starts, reads, feeds, kills and reaps the process. It does not know what the frames mean.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from dragoman.core import log
from dragoman.core.json_text import replace_half_characters
from dragoman.core.messages import JSONObject

_MAX_LINE_BYTES = 256 * 1024**2
_MAX_STDERR_LINES = 50
_NICENESS = 5
"""How much less important a process is than the gateway."""
_GRACE = 0.5
"""Seconds in which output that is still in the pipe must arrive, after the process exited or closed its stdin."""

_STDIN, _STDOUT = 0, 1
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class ChildProcess(asyncio.SubprocessProtocol):
    """A child process, from its start until it is reaped.

    The event loop's read callback handles output directly, so `on_frame` can kill the process before anything else
    runs. `on_frame` is called once for each frame, in order, and never after `kill`. Output and an end that come before
    `listen` are buffered until then.

    The process may be reaped before its last output is read. `on_end` comes after that output: when stdout is closed,
    or after twice `_GRACE` if a descendant keeps stdout open.

    A callback that raises ends the process at once: `on_end` gets the reason, so the run that waits for it fails. The
    same holds if the process closes its stdin or cannot be written to.

    Attributes:
        on_frame: Called with each JSON object from stdout.
        on_end: Called once with the reason, when the process can no longer be used and was not killed by `kill`.
        on_output: Called with each piece of stdout (1) and stderr (2), before it is parsed.
        on_stderr: Called with the lines from stderr.
        end_reason: Why the process can no longer be used. None while it can, and after `kill`.
        exited: Done when the process is reaped, which may be before `on_end`.
    """

    def __init__(self) -> None:
        self.on_frame: Callable[[JSONObject], None] = lambda _: None
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_output: Callable[[int, bytes], None] | None = None
        self.on_stderr: Callable[[list[str]], None] = lambda _: None
        self.end_reason: str | None = None
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self._partial_line = bytearray()
        self._stderr_lines: deque[str] = deque(maxlen=_MAX_STDERR_LINES)
        self._closed = False
        self._input_closed = False
        self._buffered: list[tuple[int, bytes]] | None = []
        self._output_ended = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def spawn(cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> "ChildProcess":
        """Start a process in a process group of its own.

        On Linux with uvloop the kernel kills it when the gateway dies. Its children, and all processes elsewhere, are
        the task of `dragoman.backends.shared.process_guard`.

        Raises:
            OSError: The process cannot be started.
        """
        loop = asyncio.get_running_loop()
        # Not with the loop of asyncio: from Python 3.12 on it warns of a function before exec. uvloop always forks.
        ends_with_parent = _end_with_parent if sys.platform == "linux" and isinstance(loop, uvloop.Loop) else None
        starting = asyncio.ensure_future(
            loop.subprocess_exec(
                cls, *argv, env=dict(env), cwd=cwd, start_new_session=True, preexec_fn=ends_with_parent
            ),
        )
        try:
            _, process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_kill_orphan)
            raise
        # The gateway must answer some frames within milliseconds, so it takes precedence over the process.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
        return process

    def listen(
        self,
        on_frame: Callable[[JSONObject], None],
        on_end: Callable[[str], None],
        on_output: Callable[[int, bytes], None] | None = None,
    ) -> None:
        """Set the callbacks, and call them for earlier output. Call this once."""
        self.on_frame, self.on_end, self.on_output = on_frame, on_end, on_output
        buffered, self._buffered = self._buffered or (), None
        for fd, data in buffered:
            self.pipe_data_received(fd, data)
        if self._output_ended:
            self._finish()

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._transport.get_pid() if self._transport else 0

    @property
    def alive(self) -> bool:
        """Whether the process can still be used."""
        return not (self._closed or self.exited.done())

    @property
    def stderr_tail(self) -> str:
        """The last lines from stderr."""
        return "\n".join(self._stderr_lines)

    def send(self, *frames: JSONObject) -> None:
        """Write frames to stdin, in one write. Do nothing if the process is gone: `on_end` reports that."""
        self.write(b"".join(_encode(frame) + b"\n" for frame in frames))

    def write(self, data: bytes) -> None:
        """Write bytes to stdin. Do nothing if the process is gone: `on_end` reports that."""
        if not self.alive or self._transport is None:
            return
        cast("asyncio.WriteTransport", self._transport.get_pipe_transport(_STDIN)).write(data)

    def close_input(self) -> None:
        """Close stdin once all is written. The process then ends."""
        self._input_closed = True
        if self._transport is not None and (pipe := self._transport.get_pipe_transport(_STDIN)) is not None:
            pipe.close()

    def kill(self) -> None:
        """Kill the process now. Idempotent. `exited` is done once the process is reaped."""
        self._closed = True
        if self._transport is not None and self._transport.get_returncode() is None:
            # The group is the process's own, so its children are killed too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)
        elif self.exited.done():
            self._release()

    # The methods of asyncio.SubprocessProtocol, called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Handle output from stdout or stderr."""
        if self._closed:
            return
        if self._buffered is not None:
            self._buffered.append((fd, data))
            return
        try:
            if self.on_output is not None:
                self.on_output(fd, data)
            if fd == _STDOUT:
                self._read(data)
            else:
                lines = data.decode(errors="replace").splitlines()
                self._stderr_lines.extend(lines)
                self.on_stderr(lines)
        except Exception as error:  # noqa: BLE001 - whatever a callback raises, the run must not wait on
            self._callback_failed(error)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that a pipe is closed. A closed stdout is the end, and so is a stdin that cannot be written to."""
        if fd == _STDOUT:
            self._finish()
        elif fd == _STDIN and not self._closed and self._timer is None and (exc is not None or not self._input_closed):
            # A process that exits closes its stdin first. Its last output and its status say more: wait for them.
            reason = "it did not read all of its input" if exc else "it closed its input"
            self._timer = asyncio.get_running_loop().call_later(_GRACE, self._end, reason)

    def process_exited(self) -> None:
        """Note that the process is reaped. Its last output may still be in the pipe."""
        if not self.exited.done():
            self.exited.set_result(None)
        if self._closed or self._output_ended:
            self._release()
        else:
            # In two steps: if the loop was busy during the whole first step, it reads the pipe in the second.
            self._restart_timer(self._wait_again)

    def _wait_again(self) -> None:
        self._restart_timer(self._finish)

    def _restart_timer(self, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_GRACE, action)

    def _finish(self) -> None:
        """End after all output is read. Accept a last line without a newline if it is a complete frame."""
        if self._buffered is not None:
            self._output_ended = True
            if self.exited.done():
                self._release()
            return
        last_line = bytes(self._partial_line)
        self._partial_line.clear()
        if not self._closed and (frame := _parse_object(last_line)) is not None:
            try:
                self.on_frame(frame)
            except Exception as error:  # noqa: BLE001 - as in pipe_data_received
                self._callback_failed(error)
        if self.exited.done() and self._transport is not None:
            self._end(f"it ended with status {self._transport.get_returncode()}")
        else:
            self._end("it closed its output")

    def _read(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines and self._partial_line:
            lines[0] = bytes(self._partial_line) + lines[0]
            self._partial_line.clear()
        self._partial_line += rest
        if len(self._partial_line) > _MAX_LINE_BYTES:
            self._end("it wrote a line without an end")
            return
        for line in lines:
            if self._closed:
                return
            if not line.strip():
                continue
            if (frame := _parse_object(line)) is None:
                self._end("it wrote what is no JSON object")
                return
            self.on_frame(frame)

    def _callback_failed(self, error: Exception) -> None:
        log.error("processes.callback_failed", pid=self.pid, exc_info=error)
        self._end(f"it wrote what the gateway cannot process ({type(error).__name__})")

    def _end(self, reason: str) -> None:
        if self._closed:
            return
        if self._buffered is not None:
            self._output_ended = True
            return
        self.end_reason = reason
        self.kill()
        self.on_end(reason)

    def _release(self) -> None:
        """Close the pipes of a process that is reaped. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()


def _end_with_parent() -> None:
    """Have the kernel kill this new process when its parent dies.

    A process that waits for a tool's results would otherwise see its input end, and tell Claude that the tool failed:
    a call of the API that no client asked for.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _parse_object(line: bytes) -> JSONObject | None:
    try:
        frame = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            frame = _decode(replace_half_characters(line))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    return frame if isinstance(frame, dict) else None


def _kill_orphan(starting: "asyncio.Future[tuple[asyncio.SubprocessTransport, ChildProcess]]") -> None:
    """Kill a process that has no owner because its starter was cancelled."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()[1].kill()
