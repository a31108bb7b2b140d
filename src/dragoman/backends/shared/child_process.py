"""One operating-system process that speaks newline-delimited JSON. It knows nothing of what the frames mean."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec

from dragoman.core.messages import JSONObject

_LINE_LIMIT = 256 * 1024**2
_STDERR_LINES = 50
_NICENESS = 5
_GRACE = 0.5

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Process(asyncio.SubprocessProtocol):
    """A child process, from spawn to reaped.

    Output is read as it comes, in the event loop's own callback: a frame's handler may thus kill the process before
    anything else runs. Every handler is called at most once a frame, in order, and never after the process was killed.
    What it says, and that it ends, is held back until somebody is there to `listen`.

    A process may be reaped before its last words are read. Its end is told after them: when its output is closed, or
    twice `_GRACE` later where something that it left behind holds that open.

    Attributes:
        on_frame: Called with each JSON object from stdout.
        on_end: Called once, when the process is gone and all is read, or it wrote what is no JSON; with the reason.
        on_complaint: Called with the lines it writes to stderr.
        ended: Why it can no longer be used, unless we killed it.
        exited: Done when the process is reaped, which may be before `on_end`.
        tap: Called with whatever comes from stdout (1) and stderr (2), before anything is made of it.
    """

    def __init__(self) -> None:
        self.on_frame: Callable[[JSONObject], None] = lambda _: None
        self.on_end: Callable[[str], None] = lambda _: None
        self.tap: Callable[[int, bytes], None] | None = None
        self.on_complaint: Callable[[list[str]], None] = lambda _: None
        self.ended: str | None = None
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self._partial = bytearray()
        self._complaints: deque[str] = deque(maxlen=_STDERR_LINES)
        self._over = False
        self._held: list[tuple[int, bytes]] | None = []
        self._finished = False
        self._waiting: asyncio.TimerHandle | None = None

    @classmethod
    async def spawn(cls, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> "Process":
        """Start a process in a group of its own.

        Raises:
            OSError: It cannot be started.
        """
        loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(
            loop.subprocess_exec(cls, *argv, env=dict(env), cwd=cwd, start_new_session=True),
        )
        try:
            _, process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_kill_orphan)
            raise
        process.yield_way()
        return process

    def listen(
        self,
        on_frame: Callable[[JSONObject], None],
        on_end: Callable[[str], None],
        tap: Callable[[int, bytes], None] | None = None,
    ) -> None:
        """Set who is told, and tell what came before. Once."""
        self.on_frame, self.on_end, self.tap = on_frame, on_end, tap
        held, self._held = self._held or (), None
        for fd, data in held:
            self.pipe_data_received(fd, data)
        if self._finished:
            self._finish()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._transport.get_pid() if self._transport else 0

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return not (self._over or self.exited.done())

    @property
    def complaints(self) -> str:
        """The end of what it wrote to stderr."""
        return "\n".join(self._complaints)

    def send(self, *frames: JSONObject) -> None:
        """Write frames to stdin, in one write. To a process that is gone this does nothing: `on_end` tells."""
        self.write(b"".join(_encode(frame) + b"\n" for frame in frames))

    def write(self, data: bytes) -> None:
        """Write to stdin, as `send` does, what is no JSON."""
        if not self.alive or self._transport is None:
            return
        cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0)).write(data)

    def yield_way(self) -> None:
        """Let the gateway go first where both want the processor: it must answer some frames within milliseconds."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PGRP, self.pid, _NICENESS)

    def close_input(self) -> None:
        """Close its stdin, upon which it ends by itself."""
        if self._transport is not None and (pipe := self._transport.get_pipe_transport(0)) is not None:
            pipe.close()

    def kill(self) -> None:
        """End it now. Idempotent; `exited` is done once it is reaped."""
        self._over = True
        if self._transport is not None and self._transport.get_returncode() is None:
            # The group is the process's own, so what it may have started goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)
        elif self.exited.done():
            self._let_go()

    # asyncio.SubprocessProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what came from stdout or stderr."""
        if self._over:
            return
        if self._held is not None:
            self._held.append((fd, data))
            return
        if self.tap is not None:
            self.tap(fd, data)
        if fd == 1:
            self._read(data)
        else:
            lines = data.decode(errors="replace").splitlines()
            self._complaints.extend(lines)
            self.on_complaint(lines)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A closed stdout is the end, whatever the process does then."""
        if fd == 1:
            self._finish()

    def process_exited(self) -> None:
        """The process was reaped; what it wrote last may still be in the pipe."""
        if not self.exited.done():
            self.exited.set_result(None)
        if self._over or self._finished:
            self._let_go()
        else:
            # In two steps: where the loop was busy for all of the first one, it reads in the second.
            self._waiting = asyncio.get_running_loop().call_later(_GRACE, self._wait_on)

    def _wait_on(self) -> None:
        self._waiting = asyncio.get_running_loop().call_later(_GRACE, self._finish)

    def _finish(self) -> None:
        """All is read. A last line without an end is taken if it is a whole frame."""
        if self._held is not None:
            self._finished = True
            if self.exited.done():
                self._let_go()
            return
        rest = bytes(self._partial)
        self._partial.clear()
        if not self._over and (frame := _object_in(rest)) is not None:
            self.on_frame(frame)
        if self.exited.done() and self._transport is not None:
            self._end(f"it ended with status {self._transport.get_returncode()}")
        else:
            self._end("it closed its output")

    def _let_go(self) -> None:
        """Close what is left of a process that is reaped. Idempotent."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self._transport is not None:
            self._transport.close()

    def _read(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines and self._partial:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
        self._partial += rest
        if len(self._partial) > _LINE_LIMIT:
            self._end("it wrote a line without an end")
            return
        for line in lines:
            if self._over:
                return
            if line.strip():
                self._take(line)

    def _take(self, line: bytes) -> None:
        if (frame := _object_in(line)) is not None:
            self.on_frame(frame)
        else:
            self._end("it wrote what is no JSON object")

    def _end(self, reason: str) -> None:
        if self._over:
            return
        self.ended = reason
        self.kill()
        self.on_end(reason)


def _object_in(line: bytes) -> JSONObject | None:
    try:
        frame = _decode(line)
    except msgspec.DecodeError:
        return None
    return frame if isinstance(frame, dict) else None


def _kill_orphan(starting: "asyncio.Future[tuple[asyncio.SubprocessTransport, Process]]") -> None:
    """A process whose starter was cancelled meanwhile has no owner."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result()[1].kill()
