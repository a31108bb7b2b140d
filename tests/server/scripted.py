"""A backend that does what a test says, and a gateway around it on a free port."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from judge import Judge, judged_openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from dragoman.backends.base import Embedder, RunRequest
from dragoman.config.loading import load, variables
from dragoman.config.settings import Settings
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Started,
)
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.server.uvicorn_server import Server, listen
from dragoman.wiring.gateway import build

KEY = "gateway-key"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say it"}]

Script = Callable[[RunRequest], AsyncGenerator[Event, None]]


def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no variable or settings file of this machine have a say; a fixture, in the modules that want it."""
    for name in Settings.model_fields:
        for variable in variables(name):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def opening(model: str = "claude-sonnet-5-5") -> list[Event]:
    """The events up to the first text."""
    message: JSONObject = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 5, "output_tokens": 1},
    }
    return [
        Started("warm", {"process": 0.001}),
        MessageStart({"type": "message_start", "message": message}),
        BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    ]


def text(words: str) -> Event:
    """A piece of text."""
    delta: JSONObject = {"type": "text_delta", "text": words}
    return BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta})


def ending(reason: str = "end_turn") -> list[Event]:
    """The events after the last text."""
    delta: JSONObject = {"stop_reason": reason, "stop_sequence": None}
    return [
        BlockStop(0, {"type": "content_block_stop", "index": 0}),
        MessageDelta({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}),
        MessageStop({"type": "message_stop"}),
    ]


def says(words: str) -> Script:
    """Answers at once."""
    return tells([*opening(), text(words), *ending()])


def by_turn(*scripts: Script) -> Script:
    """Each run follows the next of the scripts."""
    left = iter(scripts)

    def script(request: RunRequest) -> AsyncGenerator[Event, None]:
        return next(left)(request)

    return script


def tells(events: Sequence[Event]) -> Script:
    """Yields these events at once."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    return script


def in_turn(*answers: Sequence[Event]) -> Script:
    """Answers each run at once, with the next of the answers."""
    return by_turn(*map(tells, answers))


def fails(error: Exception, *, after: Sequence[Event] = ()) -> Script:
    """Fails, perhaps after some events."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in after:
            yield event
        raise error

    return script


def hangs(*, after: Sequence[Event] = ()) -> Script:
    """Says something and then nothing, for ever."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in after:
            yield event
        await asyncio.Event().wait()

    return script


class ScriptedBackend:
    """A backend that follows a script.

    Attributes:
        asked: The requests that it got.
        left: Set when a run has ended, however.
        reason: What it is not ready for.
        listed: The models it lists, or why it cannot.
    """

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[RunRequest] = []
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.closed = False
        self.reason: str | None = None
        self.listed: Sequence[ListedModel] | Exception = ()

    async def start(self) -> None:
        """Nothing to do."""

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Follow the script."""
        self.asked.append(request)
        self.entered.set()
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.left.set()

    async def models(self) -> Sequence[ListedModel]:
        """List what the test says."""
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed

    def ready(self) -> str | None:
        """What the test says."""
        return self.reason

    def status(self) -> JSONObject:
        """A figure of each kind."""
        return {"authentication": "none", "processes": {"spare": 2, "live": 1, "all": 3}}


@dataclass
class Served:
    """A gateway that listens."""

    url: str
    server: Server
    backend: ScriptedBackend
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    async def figures(self) -> str:
        """The metrics, once a question is in them: that is after its client has got the whole answer."""
        while 'method="POST"' not in (text := (await self.http.get("/metrics")).text):
            pass
        return text


@asynccontextmanager
async def served(script: Script, *, embedder: Embedder | None = None, **settings: object) -> AsyncIterator[Served]:
    """Serve a scripted backend on a free port of 127.0.0.1."""
    backend = ScriptedBackend(script)
    given = {"port": 0, "log_level": "off", "shutdown_grace": 5.0, **settings}
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with build(load(given, env_file=None), backend, embedder) as gateway:
        server = Server(gateway.app, gateway.drain, float(str(given["shutdown_grace"])))
        serving = asyncio.create_task(server.serve([sock]))
        async with (
            httpx.AsyncClient(base_url=url, timeout=20, transport=Judge()) as http,
            judged_openai(f"{url}/v1", KEY, 20) as openai,
        ):
            try:
                yield Served(url, server, backend, http, openai)
            finally:
                if not server.should_exit:
                    server.stop()
                await serving
    assert backend.closed
