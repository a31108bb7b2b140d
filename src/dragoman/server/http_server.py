"""The HTTP server. It stops in stages: not ready, accept no connection, let responses end, end the rest, exit."""

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

from starlette.types import ASGIApp

from dragoman.core import log
from dragoman.server.http_protocol import HttpProtocol, ServerState

_BACKLOG = 2048
_MAX_CONNECTIONS = 10_000
_FINAL_WRITE_SECONDS = 5
_POLL_SECONDS = 0.05
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


def _max_connections() -> int:
    """Return half of the file descriptors: the others are for Claude, processes and files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(soft // 2, _MAX_CONNECTIONS)


def _protocol() -> type[HttpProtocol]:
    class LimitedProtocol(HttpProtocol):
        max_connections = _max_connections()

    return LimitedProtocol


class Server:
    """The HTTP server. On shutdown it drains the running requests instead of cutting their connections.

    Args:
        app: The ASGI application.
        drain: Gives the running requests a number of seconds, then ends them with an error that their clients get.
        grace: That number of seconds.
        delay: Seconds before that, in which it still accepts requests.
        announce: Called when it begins to stop: nothing that has a choice may send requests any more.

    Attributes:
        started: Whether it accepts connections.
        should_exit: Whether it is to stop.
        again: Whether to start the gateway again after it has stopped.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain: Callable[[float], Awaitable[None]],
        grace: float,
        delay: float = 0.0,
        announce: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.started = False
        self.should_exit = False
        self.again = False
        self._force_exit = False
        self._app = app
        self._state = ServerState()
        self._drain = drain
        self._grace = grace
        self._delay = delay
        self._announce = announce
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve until `stop`, then shut down."""
        self._loop = loop = asyncio.get_running_loop()
        with self._signals():
            protocol = _protocol()
            servers = [
                await loop.create_server(lambda: protocol(self._app, self._state), sock=sock, backlog=_BACKLOG)
                for sock in sockets
            ]
            self.started = True
            if not self.should_exit:
                await self._stopping.wait()
            await self._shut_down(servers)

    def stop(self, *_signal: object) -> None:
        """Begin to stop. The second call ends the grace. May be called by a signal handler."""
        self._force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    def start_again(self, *_signal: object) -> None:
        """Begin to stop, and start again afterwards."""
        self.again = True
        self.stop()

    async def _shut_down(self, servers: Sequence[asyncio.AbstractServer]) -> None:
        """Stop. A second signal ends the delay and the grace at once."""
        self._state.stopping = True
        if self._announce is not None:
            await self._announce()
        self._stopping.clear()
        if self._delay and not self._force_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._delay):
                    await self._stopping.wait()
        for server in servers:
            server.close()
        draining = asyncio.ensure_future(self._drain(self._grace))
        try:
            for connection in list(self._state.connections):
                connection.shutdown()
            await self._wait_for_responses()
        finally:
            if self._force_exit:
                draining.cancel()
                await self._drain(0)
                await self._write_final_responses()
            await asyncio.wait([draining])

    async def _wait_for_responses(self) -> None:
        """Wait until all responses are sent, or the grace is over. Then cancel the requests that remain."""
        state = self._state
        try:
            async with asyncio.timeout(int(self._grace) + _FINAL_WRITE_SECONDS):
                while (state.connections or state.tasks) and not self._force_exit:  # noqa: ASYNC110 - two sets, one flag
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            log.warning("http.cancelled", count=len(state.tasks))
            for task in state.tasks:
                task.cancel()

    async def _write_final_responses(self) -> None:
        """Wait until the responses that were just ended are written."""
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=_FINAL_WRITE_SECONDS)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle signals until the end of serving. They are not raised again: the gateway has processes to end."""
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
