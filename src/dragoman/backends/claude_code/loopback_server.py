"""A server on loopback that owns its connections: none is open when it has closed.

`asyncio.start_server` ends neither the handlers nor the connections that it opened: a runtime that is killed while it
connects would leave them to the garbage collector.
"""

import asyncio
from collections.abc import Awaitable, Callable

_HOST = "127.0.0.1"

_Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LoopbackServer:
    """Listens on a free port of 127.0.0.1 between `start` and `aclose`.

    Args:
        handle: Serves one connection, which is closed when it returns. A connection that the other side cuts ends it:
            `ConnectionError` and `asyncio.IncompleteReadError` are not errors here.
    """

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address, once it listens."""
        if self._server is None:
            raise RuntimeError("the server does not listen")
        return f"http://{_HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listen. Raises `OSError` if there is no free port."""
        self._server = await asyncio.start_server(self._accept, _HOST, 0)

    async def aclose(self) -> None:
        """Stop listening, cancel the handlers and close their connections. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        while self._connections:
            for task in self._connections:
                task.cancel()
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Own a connection from its first moment: this is no coroutine, which `aclose` could cancel unstarted."""
        if self._server is None or not self._server.is_serving():
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(lambda done: self._end(done, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handle(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    def _end(self, done: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._connections.discard(done)
        writer.transport.abort()
        if not done.cancelled() and (error := done.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a loopback handler failed", "exception": error}
            )
