"""A backend that follows a script, and a gateway around it that listens on a free port."""

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
from dragoman.core.value_object import replace
from dragoman.server.http_server import Server, listen
from dragoman.server.peers import Peers
from dragoman.wiring.gateway import build

KEY = "gateway-key"
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say it"}]

Script = Callable[[RunRequest], AsyncGenerator[Event, None]]


def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings of this machine: variables and files. Test modules use it as a fixture."""
    for name in Settings.model_fields:
        for variable in variables(name):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def opening(model: str = "claude-sonnet-5-5") -> list[Event]:
    """Return the events before the first text."""
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


def text(content: str) -> Event:
    """Return the event of a piece of text."""
    delta: JSONObject = {"type": "text_delta", "text": content}
    return BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta})


def ending(reason: str = "end_turn") -> list[Event]:
    """Return the events after the last text."""
    delta: JSONObject = {"stop_reason": reason, "stop_sequence": None}
    return [
        BlockStop(0, {"type": "content_block_stop", "index": 0}),
        MessageDelta({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}),
        MessageStop({"type": "message_stop"}),
    ]


def pauses(proceed: asyncio.Event) -> Script:
    """Return a script that sends half of a text, and the rest once the event is set."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await proceed.wait()
        for event in [text("lo"), *ending()]:
            yield event

    return script


def replies(content: str) -> Script:
    """Return a script that replies with this text at once."""
    return emits([*opening(), text(content), *ending()])


def in_sequence(*scripts: Script) -> Script:
    """Return a script in which each run follows the next of these scripts."""
    remaining = iter(scripts)

    def script(request: RunRequest) -> AsyncGenerator[Event, None]:
        return next(remaining)(request)

    return script


def emits(events: Sequence[Event]) -> Script:
    """Return a script that emits these events at once."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    return script


def emits_in_sequence(*replies: Sequence[Event]) -> Script:
    """Return a script in which each run emits the next of these lists of events."""
    return in_sequence(*map(emits, replies))


def fails(error: Exception, *, after: Sequence[Event] = ()) -> Script:
    """Return a script that fails, after some events if given."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in after:
            yield event
        raise error

    return script


def hangs(*, after: Sequence[Event] = ()) -> Script:
    """Return a script that emits some events, and then never ends."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in after:
            yield event
        await asyncio.Event().wait()

    return script


class ScriptedBackend:
    """A backend that follows a script.

    Attributes:
        requests: The requests that it received.
        started: Set when a run has started.
        ended: Set when a run has ended, for any reason.
        closed: Whether it was closed.
        not_ready_reason: What `ready` returns.
        more_status: What `status` returns in addition.
        listed_models: The models it lists, or the error it raises instead.
        held: Called with the name of a conversation, and whether it is held from now on.
    """

    name = "scripted"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[RunRequest] = []
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.closed = False
        self.not_ready_reason: str | None = None
        self.task_failures: dict[str, str] = {}
        self.more_status: JSONObject = {}
        self.listed_models: Sequence[ListedModel] | Exception = ()
        self.held: Callable[[str, bool], None] = lambda _conversation, _held: None

    async def start(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Record that it was closed."""
        self.closed = True

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Follow the script."""
        self.requests.append(request)
        self.started.set()
        try:
            async for event in self.script(request):
                yield event
        finally:
            self.ended.set()

    async def models(self) -> Sequence[ListedModel]:
        """Return the models that the test set, or raise its error."""
        if isinstance(self.listed_models, Exception):
            raise self.listed_models
        return self.listed_models

    def conversation_of(self, request: RunRequest) -> str | None:
        """Return the client and the number of messages of a conversation that has begun."""
        count = len(request.body["messages"])
        return f"{request.client} {count}" if count > 1 else None

    def on_held(self, report: Callable[[str, bool], None]) -> None:
        """Have the test say what is held."""
        self.held = report

    def ready(self) -> str | None:
        """Return the reason that the test set."""
        return self.not_ready_reason

    def failures(self) -> dict[str, str]:
        """Return the failures that the test set."""
        return self.task_failures

    def status(self) -> JSONObject:
        """Return a status with one value of each type, and what the test set."""
        return {
            "authentication": "none",
            "boots": 4,
            "processes": {"spare": 2, "live": 1, "all": 3},
            **self.more_status,
        }


@dataclass
class Served:
    """A gateway that listens, and clients for it. `closed` is set when it accepts no connection any more."""

    url: str
    server: Server
    closed: asyncio.Event
    backend: ScriptedBackend
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    async def metrics_text(self) -> str:
        """Return the metrics once they count a POST request: they do so after its client has read the response."""
        while 'method="POST"' not in (text := (await self.http.get("/metrics")).text):
            pass
        return text


@asynccontextmanager
async def served(
    script: Script, *, embedder: Embedder | None = None, peers: Peers | None = None, **settings: object
) -> AsyncIterator[Served]:
    """Serve a scripted backend on a free port of 127.0.0.1."""
    backend = ScriptedBackend(script)
    options = {"port": 0, "log_level": "off", "shutdown_grace": 5.0, **settings}
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with build(load(options, env_file=None), backend, embedder, peers=peers) as gateway:
        grace, delay = (float(str(options.get(f"shutdown_{name}", 0.0))) for name in ("grace", "delay"))
        closed = asyncio.Event()

        async def hand_over() -> None:
            closed.set()
            await gateway.hand_over()

        server = Server(gateway.app, replace(gateway, hand_over=hand_over), grace, delay)
        serve_task = asyncio.create_task(server.serve([sock]))
        async with (
            httpx.AsyncClient(base_url=url, timeout=300, transport=Judge()) as http,
            judged_openai(f"{url}/v1", KEY, 300) as openai,
        ):
            try:
                yield Served(url, server, closed, backend, http, openai)
            finally:
                if not server.should_exit:
                    server.stop()
                await serve_task
    assert backend.closed
