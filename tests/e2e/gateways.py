"""The whole gateway, real runtime included, in front of a simulator that a test can look into."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
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
from dragoman.server.uvicorn_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.backends import runtime_options
from dragoman.wiring.gateway import build

TIMEOUT = 60
OLD, NEW = "claude-sonnet-4-5", "sonnet"

_Value = TypeVar("_Value")


class Counting(ClaudeCodeBackend):
    """The runtime backend, and the most runs that were in it at once."""

    busy = 0
    most = 0

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Count, and run."""
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            async with aclosing(super().run(request)) as events:
                async for event in events:
                    yield event
        finally:
            self.busy -= 1


@dataclass
class Running:
    """A gateway that listens."""

    url: str
    simulator: Simulator
    backend: Counting
    server: Server
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    @property
    def session(self) -> Session:
        """The one runtime process there is."""
        [session] = self.backend._sessions
        return session


@asynccontextmanager
async def gateway(folder: Path, **given: object) -> AsyncIterator[Running]:
    """Serve on a free port, with no spares unless said otherwise."""
    async with Simulator() as simulator:
        account = {"anthropic_api_key": "sk-ant-dummy", "anthropic_base_url": simulator.url}
        ours = {"port": 0, "log_level": "off", "spares": 0, "state_dir": folder / "state", "shutdown_grace": 5.0}
        settings = load({**account, **ours, **given}, env_file=None)
        sock = listen(settings.host, 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        backend = Counting(runtime_options(settings))
        async with build(settings, backend) as built:
            server = Server(built.app, built.drain, settings.shutdown_grace)
            serving = asyncio.create_task(server.serve([sock]))
            async with (
                httpx.AsyncClient(base_url=f"{url}/v1", timeout=TIMEOUT, transport=Judge()) as http,
                judged_openai(f"{url}/v1", "none", TIMEOUT) as openai,
            ):
                try:
                    yield Running(url, simulator, backend, server, http, openai)
                finally:
                    server.stop()
                    await serving
        assert not backend._sessions


def question(words: str) -> list[ChatCompletionMessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": words}]


def body(words: str, **more: object) -> dict[str, object]:
    """A request as JSON."""
    return {"model": OLD, "messages": question(words), **more}


def text_in(chunks: Iterable[ChatCompletionChunk]) -> str:
    """What a stream said."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def read(stream: AsyncIterator[ChatCompletionChunk], chunks: list[ChatCompletionChunk]) -> None:
    """Read to the end, and keep what came, also where the stream fails in between."""
    async for chunk in stream:
        chunks += [chunk]


async def soon(what: Awaitable[_Value]) -> _Value:
    """Wait, but not for ever."""
    return await asyncio.wait_for(what, TIMEOUT)


class Watched:
    """A process, watched from before its end, whoever its parent is."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)
        self._gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._gone.set)

    async def gone(self) -> None:
        """Return once it has ended."""
        try:
            await soon(self._gone.wait())
        finally:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
