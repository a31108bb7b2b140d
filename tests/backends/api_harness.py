"""The Anthropic backend in front of a simulator, or of a server that misbehaves in a way the simulator cannot."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

from backend_harness import Harness

from dragoman.backends.anthropic.backend import AnthropicBackend
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import Catalog
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.simulator.server import Simulator

Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","content":[],"usage":{}}}\n\n'
CONTENT = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"PONG"}}\n\n'
)
STOP = (
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
MESSAGE = START + CONTENT + STOP


class Api(Harness[AnthropicBackend]):
    """The Anthropic backend."""

    @property
    def connections(self) -> JSONObject:
        """The backend's numbers of connections."""
        return connections(self.backend)


def any_request() -> RunRequest:
    """Return a request whose content does not matter: a raw server always sends the same response."""
    body = cast("MessagesRequest", {"model": "claude-sonnet-4-5", "messages": []})
    return RunRequest("run_test", Catalog().resolve("claude-sonnet-4-5").model, body)


def connections(backend: AnthropicBackend) -> JSONObject:
    """Return a backend's numbers of connections."""
    return cast("JSONObject", backend.status()["connections"])


@asynccontextmanager
async def backend_at(base_url: str | None, **options: object) -> AsyncIterator[AnthropicBackend]:
    """A backend that does not wait between its attempts."""
    given = {"api_key": "sk-ant-dummy", "backoff": 0.0, **options}
    backend = AnthropicBackend(AnthropicOptions(base_url=base_url, **given))  # type: ignore[arg-type]
    await backend.start()
    try:
        yield backend
    finally:
        await backend.aclose()


@asynccontextmanager
async def api(**options: object) -> AsyncIterator[Api]:
    """A backend in front of a simulator. It makes one attempt unless `retries` is given."""
    async with Simulator() as simulator, backend_at(simulator.url, **{"retries": 0, **options}) as backend:
        yield Api(backend, simulator)


@asynccontextmanager
async def raw_server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server with a handler of the test; yields its URL. Handlers that still run at the end are cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        try:
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    scheme = "https" if tls else "http"
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)
