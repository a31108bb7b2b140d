"""The simulator as a server on loopback, inside the event loop of whoever starts it."""

import asyncio
import socket
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import Scope

from dragoman.simulator.app import create_app
from dragoman.simulator.faults import Fault
from dragoman.simulator.state import Received, State

_KEEP_ALIVE = 120
"""Seconds; longer than clients keep idle connections, so that none is closed under a request."""


class Simulator:
    """A scripted Messages API.

    Use as an async context manager. It listens as soon as it is entered; on leaving, open answers are cut. No signal
    handler is installed.

    Args:
        host: The address to listen on.
        port: The port; 0 takes a free one.
        keep: How many requests are remembered.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, keep: int = 10_000) -> None:
        self._host = host
        self._port = port
        self._state = State(keep=keep)
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """The base URL: `http://127.0.0.1:PORT`, without a path."""
        return f"http://{self._host}:{self._port}"

    @property
    def received(self) -> list[Received]:
        """All requests to `/v1/messages` and its token count, oldest first."""
        return self._state.received

    @property
    def calls(self) -> list[Received]:
        """The requests for a message, oldest first, without the runtime's own probes."""
        return [received for received in self._state.received if received.is_call]

    def clear(self) -> None:
        """Forget the requests and the faults to come."""
        self._state.clear()

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Give the next `times` messages a fault, after those injected before."""
        self._state.inject(fault, times)

    def hold(self) -> None:
        """Stop answers before their first content delta, until `release`."""
        self._state.hold()

    def release(self) -> None:
        """Let held answers go on."""
        self._state.release()

    async def wait_for_calls(self, count: int) -> None:
        """Return as soon as so many calls have come since the start or the last `clear`."""
        await self._state.wait_for_calls(count)

    async def __aenter__(self) -> Self:
        listening = socket.create_server((self._host, self._port), backlog=2048)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            create_app(self._state, self._cut),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            backlog=2048,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        config.load()
        self._server = uvicorn.Server(config)
        # Not `serve()`: it takes over signals and ticks ten times a second.
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listening])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        for listener in server.servers:
            listener.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        tasks = set(server.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks)
        # The transports tell their protocols in the next turn of the loop.
        await asyncio.sleep(0)

    def _cut(self, scope: Scope) -> None:
        if self._server is not None:
            for connection in self._server.server_state.connections:
                if connection.transport.get_extra_info("peername")[:2] == scope["client"]:
                    connection.transport.abort()
