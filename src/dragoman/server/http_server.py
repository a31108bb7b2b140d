"""The HTTP server. It stops in stages: not ready, accept no connection, let responses end, end the rest, exit.

No request is lost meanwhile: a client that got a connection gets a response.
"""

import asyncio
import contextlib
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Iterator, Sequence
from typing import Protocol

from starlette.types import ASGIApp

from dragoman.core import log
from dragoman.server.http_protocol import HttpProtocol, ServerState

_BACKLOG = 2048
_MAX_CONNECTIONS = 10_000
_FINAL_WRITE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_NEW_CONNECTION_SECONDS = 5.0
"""Seconds in which a new connection may bring its first request, although the server stops."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


class Stoppable(Protocol):
    """What the server serves. The server calls these when it stops, in this order."""

    def announce_stop(self) -> Awaitable[None]:
        """Be not ready: nothing that has a choice may send requests any more. Those that come are still taken."""
        ...

    def hand_over(self) -> Awaitable[None]:
        """Leave to other processes what has not begun, and end what would keep a connection open."""
        ...

    def drain(self, grace: float) -> Awaitable[None]:
        """Refuse new requests, give the running ones these seconds, then end them with an error for their clients."""
        ...


class Server:
    """The HTTP server. On shutdown it drains the running requests instead of cutting their connections.

    Args:
        app: The ASGI application.
        gateway: What it belongs to.
        grace: Seconds that running requests have to end.
        delay: Seconds before that, in which it still accepts connections.

    Attributes:
        started: Whether it accepts connections.
        should_exit: Whether it is to stop.
        again: Whether to start the gateway again after it has stopped.
    """

    def __init__(self, app: ASGIApp, gateway: Stoppable, grace: float, delay: float = 0.0) -> None:
        self.started = False
        self.should_exit = False
        self.again = False
        self._app = app
        self._state = ServerState()
        self._gateway = gateway
        self._grace = grace
        self._delay = delay
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve until `stop`, then shut down."""
        self._loop = loop = asyncio.get_running_loop()
        protocol = _protocol()

        def connection() -> HttpProtocol:
            return protocol(self._app, self._state)

        with self._signals():
            servers = [await loop.create_server(connection, sock=sock, backlog=_BACKLOG) for sock in sockets]
            self.started = True
            await self._stopping.wait()
            self._state.stopping = True
            await _attempt(self._gateway.announce_stop())
            await self._wait_unless_in_a_hurry(self._delay)
            waiting = _accept_waiting(sockets)
            for server in servers:
                server.close()
            for sock in waiting:
                with contextlib.suppress(OSError):  # its client has left
                    await loop.connect_accepted_socket(connection, sock)
            await self._shut_down()

    def stop(self, *_signal: object) -> None:
        """Begin to stop. The second call ends the delay and the grace. May be called by a signal handler."""
        event = self._hurry if self.should_exit else self._stopping
        self.should_exit = True
        if self._loop is None:
            event.set()
        else:
            self._loop.call_soon_threadsafe(event.set)

    def hang_up(self, *_signal: object) -> None:
        """Begin to stop. When a terminal is closed, its signal may come twice: that is no hurry."""
        if not self.should_exit:
            self.stop()

    def start_again(self, *_signal: object) -> None:
        """Begin to stop, and start again afterwards."""
        self.again = True
        self.stop()

    async def _shut_down(self) -> None:
        """Let responses end. Take the requests that open connections still bring, until the grace is over."""
        time = asyncio.get_running_loop().time
        ends_at = time() + self._grace
        await self._wait_unless_in_a_hurry(_POLL_SECONDS)  # reads the requests that have just arrived
        self._close_idle(_NEW_CONNECTION_SECONDS)
        await _attempt(self._gateway.hand_over())
        await self._wait_for_responses(ends_at, unless=self._hurry)
        await self._drain(ends_at - time())
        self._close_idle(0.0)
        await self._wait_for_responses(time() + _FINAL_WRITE_SECONDS)
        if self._state.tasks:
            log.warning("http.cancelled", count=len(self._state.tasks))
            for task in self._state.tasks:
                task.cancel()

    def _close_idle(self, allowance: float) -> None:
        for connection in list(self._state.connections):
            connection.shutdown(allowance)

    async def _wait_for_responses(self, until: float, unless: asyncio.Event | None = None) -> None:
        """Wait until all responses are sent and their connections closed, or until a time of the event loop."""
        state = self._state
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while (state.connections or state.tasks) and not (unless and unless.is_set()):  # noqa: ASYNC110 - two sets
                    await asyncio.sleep(_POLL_SECONDS)

    async def _drain(self, grace: float) -> None:
        """Drain the gateway. If there is a hurry, end at once what still runs."""
        seconds = 0.0 if self._hurry.is_set() else max(0.0, grace)
        draining = asyncio.create_task(_attempt(self._gateway.drain(seconds)))
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
            if draining.done():
                return
        finally:
            hurry.cancel()
            draining.cancel()
        await asyncio.wait([draining])
        await _attempt(self._gateway.drain(0.0))

    async def _wait_unless_in_a_hurry(self, seconds: float) -> None:
        if not seconds:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handle signals until the end of serving. They are not raised again: the gateway has processes to end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.stop) for number in _SIGNALS}
        previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self.hang_up)
        previous[RESTART] = signal.signal(RESTART, self.start_again)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


async def _attempt(stage: Awaitable[None]) -> None:
    """Go through a stage of the stop. An error in it must not keep responses from their end."""
    try:
        await stage
    except Exception:
        log.exception("server.stop_failed")


def _accept_waiting(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Accept the connections that wait. Closing the listening sockets would reset them."""
    waiting: list[socket.socket] = []
    for sock in sockets:
        with contextlib.suppress(OSError):  # none waits any more
            while len(waiting) < _BACKLOG:
                waiting.append(sock.accept()[0])
    return waiting
