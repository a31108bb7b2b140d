"""The simulator as a server on loopback, in the caller's event loop."""

import asyncio
import socket
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import Scope

from dragoman.simulator.app import create_app
from dragoman.simulator.faults import Fault
from dragoman.simulator.state import ReceivedRequest, State

_KEEP_ALIVE_SECONDS = 120
"""Longer than clients keep idle connections, so that no connection is closed when a request is sent."""
_BACKLOG = 2048


class Simulator:
    """A scripted Messages API.

    Use it as an async context manager. It listens from the start of the block. At the end of the block, open responses
    are aborted. It installs no signal handler.

    Args:
        host: The address to listen on.
        port: The port; 0 selects a free one.
        keep: How many requests are recorded.
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
    def received(self) -> list[ReceivedRequest]:
        """All requests to `/v1/messages` and its token count, oldest first."""
        return self._state.received

    @property
    def calls(self) -> list[ReceivedRequest]:
        """The requests for a message, oldest first, without the runtime's own probes."""
        return [received for received in self._state.received if received.is_call]

    def clear(self) -> None:
        """Remove the recorded requests and the injected faults."""
        self._state.clear()

    def inject(self, fault: Fault, times: int = 1) -> None:
        """Give the next `times` messages a fault, after the faults that were injected before."""
        self._state.inject(fault, times)

    def hold(self) -> None:
        """Stop responses before their first content delta, until `release`."""
        self._state.hold()

    def release(self) -> None:
        """Let held responses continue."""
        self._state.release()

    async def wait_for_calls(self, count: int) -> None:
        """Wait until this many calls were received since the start or the last `clear`."""
        await self._state.wait_for_calls(count)

    async def __aenter__(self) -> Self:
        listening = socket.create_server((self._host, self._port), backlog=_BACKLOG)
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(
            create_app(self._state, self._abort_connection),
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        config.load()
        self._server = uvicorn.Server(config)
        # `serve()` would install signal handlers and wake up ten times a second.
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
        # The transports notify their protocols in the next iteration of the event loop.
        await asyncio.sleep(0)

    def _abort_connection(self, scope: Scope) -> None:
        if self._server is not None:
            for connection in self._server.server_state.connections:
                if connection.transport.get_extra_info("peername")[:2] == scope["client"]:
                    connection.transport.abort()
