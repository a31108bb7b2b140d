"""The whole gateway with the real runtime, in front of a simulator that a test can inspect."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from judge import Judge, judged_openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.backend import ClaudeCodeBackend
from dragoman.backends.claude_code.session import Session
from dragoman.config.loading import load
from dragoman.core.events import Event
from dragoman.server.http_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.claude_code import runtime_options
from dragoman.wiring.gateway import build

TIMEOUT = 300
"""Seconds after which a request hangs. On a busy machine the last of many queued requests waits for minutes."""
OLD, NEW = "claude-sonnet-4-5", "sonnet"

_Value = TypeVar("_Value")


class CountingBackend(ClaudeCodeBackend):
    """The runtime backend, with the largest number of concurrent runs."""

    active_runs = 0
    max_active_runs = 0

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run, and count."""
        self.active_runs += 1
        self.max_active_runs = max(self.max_active_runs, self.active_runs)
        try:
            async with aclosing(super().run(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.active_runs -= 1


@dataclass
class RunningGateway:
    """A listening gateway."""

    url: str
    simulator: Simulator
    backend: CountingBackend
    server: Server
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    @property
    def session(self) -> Session:
        """The only runtime process."""
        [session] = self.backend._sessions
        return session


@asynccontextmanager
async def gateway(folder: Path, **overrides: object) -> AsyncIterator[RunningGateway]:
    """Serve on a free port, by default without warm processes.

    Args:
        folder: The folder of the state directory.
        overrides: Settings.
    """
    async with Simulator() as simulator:
        account = {"anthropic_api_key": "sk-ant-dummy", "anthropic_base_url": simulator.url}
        defaults = {
            "port": 0,
            "log_level": "off",
            "spares": 0,
            "long_spares": 0,
            "state_dir": folder / "state",
            "shutdown_grace": 5.0,
        }
        settings = load({**account, **defaults, **overrides}, env_file=None)
        sock = listen(settings.host, 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        backend = CountingBackend(runtime_options(settings))
        async with build(settings, backend) as built:
            server = Server(built.app, built, settings.shutdown_grace)
            serving = asyncio.create_task(server.serve([sock]))
            async with (
                httpx.AsyncClient(base_url=f"{url}/v1", timeout=TIMEOUT, transport=Judge()) as http,
                judged_openai(f"{url}/v1", "none", TIMEOUT) as openai,
            ):
                try:
                    yield RunningGateway(url, simulator, backend, server, http, openai)
                finally:
                    server.stop()
                    await serving
        assert not backend._sessions


@asynccontextmanager
async def api_gateway(folder: Path) -> AsyncIterator[tuple[Simulator, str]]:
    """Start a gateway with the backend `api`; return its simulator and its address."""
    async with Simulator() as simulator:
        account = {"anthropic_api_key": "sk-ant-dummy", "anthropic_base_url": simulator.url}
        defaults = {"backend": "api", "port": 0, "log_level": "off", "state_dir": folder / "state", "retries": 0}
        settings = load({**account, **defaults}, env_file=None)
        sock = listen(settings.host, 0)
        async with build(settings) as built:
            server = Server(built.app, built, 5.0)
            serving = asyncio.create_task(server.serve([sock]))
            try:
                yield simulator, f"http://127.0.0.1:{sock.getsockname()[1]}"
            finally:
                server.stop()
                await serving


def user_message(text: str) -> list[ChatCompletionMessageParam]:
    """Return a conversation of one user message."""
    return [{"role": "user", "content": text}]


def chat_body(text: str, **fields: object) -> dict[str, object]:
    """Return the JSON body of a chat request."""
    return {"model": OLD, "messages": user_message(text), **fields}


def stream_text(chunks: Iterable[ChatCompletionChunk]) -> str:
    """Return the text of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def read_stream(stream: AsyncIterator[ChatCompletionChunk], chunks: list[ChatCompletionChunk]) -> None:
    """Read to the end; add the chunks to the list, also those before a failure."""
    async for chunk in stream:
        chunks += [chunk]


async def with_timeout(awaitable: Awaitable[_Value]) -> _Value:
    """Wait for at most `TIMEOUT` seconds."""
    return await asyncio.wait_for(awaitable, TIMEOUT)


async def until(condition: Callable[[], object]) -> None:
    """Return once a condition holds."""

    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - another task makes it hold
            await asyncio.sleep(0.01)

    await with_timeout(poll())


class WatchedProcess:
    """A process whose end can be awaited. It may have any parent."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)
        self._exited = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._exited.set)

    async def exited(self) -> None:
        """Wait until the process has ended."""
        try:
            await with_timeout(self._exited.wait())
        finally:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
