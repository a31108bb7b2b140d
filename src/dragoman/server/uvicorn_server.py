"""The HTTP server. It stops in stages: accept no connection, let responses end, end the rest with an error, exit."""

import asyncio
import contextlib
import importlib.util
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

_BACKLOG = 2048
_MAX_CONNECTIONS = 10_000
_KEEP_ALIVE = 75  # clients keep idle connections longer than uvicorn's own 5 seconds, and then meet a closed one
_FINAL_WRITE_SECONDS = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

RESTART = signal.SIGUSR2
"""The signal that stops a gateway in the usual stages, and then starts it again."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        OSError: The port is in use, or this user may not open it.
    """
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)


def _protocol() -> "type[asyncio.Protocol] | Literal['h11']":
    if not importlib.util.find_spec("httptools"):
        return "h11"
    from dragoman.server.uvicorn_protocol import BufferedHttpProtocol  # noqa: PLC0415 - optional

    class LimitedProtocol(BufferedHttpProtocol):
        max_connections = _max_connections()

    return LimitedProtocol


def _max_connections() -> int:
    """Return half of the file descriptors: the others are for Claude, processes and files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft // 2, _MAX_CONNECTIONS)


class Server(uvicorn.Server):
    """Uvicorn's server. On shutdown it drains the running requests instead of cutting their connections.

    Args:
        app: The ASGI application.
        drain: Gives the running requests a number of seconds, then ends them with an error that their clients get.
        grace: That number of seconds.

    Attributes:
        again: Whether to start the gateway again after it has stopped.
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
                timeout_graceful_shutdown=int(grace) + _FINAL_WRITE_SECONDS,
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
                await self._write_final_responses()
            await asyncio.wait([draining])

    def stop(self, *_signal: object) -> None:
        """Begin to stop. The second call ends the grace."""
        self.force_exit = self.should_exit
        self.should_exit = True

    def start_again(self, *_signal: object) -> None:
        """Begin to stop, and start again afterwards."""
        self.again = True
        self.stop()

    async def _write_final_responses(self) -> None:
        """Wait until the responses that were just ended are written."""
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_FINAL_WRITE_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals like uvicorn, but do not raise them again: the gateway still has to end its processes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.stop) for number in _SIGNALS}
        previous[RESTART] = signal.signal(RESTART, self.start_again)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
