"""Listening, and stopping in stages: take nothing new, let answers end, end the rest in words, then go."""

import asyncio
import contextlib
import importlib.util
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 2048
_KEEP_ALIVE = 75  # clients keep idle connections longer than uvicorn's own 5 seconds, and then meet a closed one
_LAST_WORDS = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

RESTART = signal.SIGUSR2
"""The signal on which a gateway stops as ever, and is then to be started again."""


def listen(host: str, port: int) -> socket.socket:
    """Take the port.

    Raises:
        OSError: It is in use, or not ours to take.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)


def _protocol() -> "type[asyncio.Protocol] | Literal['h11']":
    if not importlib.util.find_spec("httptools"):
        return "h11"
    from dragoman.server.uvicorn_protocol import BufferedHttpProtocol  # noqa: PLC0415 - not everywhere to be had

    return BufferedHttpProtocol


class Server(uvicorn.Server):
    """Uvicorn's server, which asks its owner to end what runs instead of cutting connections.

    Args:
        app: What answers.
        drain: Lets what runs end for so many seconds, then ends it with an error that its client is told.
        grace: Those seconds.

    Attributes:
        again: Whether whoever stopped it wants it started again.
    """

    def __init__(self, app: ASGIApp, drain: Callable[[float], Awaitable[None]], grace: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=int(grace) + _LAST_WORDS,
            )
        )
        self._drain = drain
        self._grace = grace
        self.again = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop. A second signal ends the grace at once."""
        for server in self.servers:
            server.close()
        draining = asyncio.ensure_future(self._drain(self._grace))
        try:
            await super().shutdown(sockets)
        finally:
            if self.force_exit:
                draining.cancel()
                await self._drain(0)
                await self._last_words()
            await asyncio.wait([draining])

    def stop(self, *_signal: object) -> None:
        """Begin to stop; the second time, without grace."""
        self.force_exit = self.should_exit
        self.should_exit = True

    def start_again(self, *_signal: object) -> None:
        """Begin to stop, for a new start."""
        self.again = True
        self.stop()

    async def _last_words(self) -> None:
        """Let answers that were ended just now say so to their clients."""
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_WORDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take note of signals, as uvicorn does, but do not raise them again: processes are still to be ended."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.stop) for number in _SIGNALS}
        before[RESTART] = signal.signal(RESTART, self.start_again)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
