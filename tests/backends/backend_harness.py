"""Backends under test, each in front of its own simulator: the real runtime, the real command, or scripted ones."""

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

from dragoman.backends.base import Backend, RunRequest
from dragoman.backends.claude_cli.backend import ClaudeCliBackend
from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_code.backend import ClaudeCodeBackend
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.core.accumulate import AccumulatedMessage, accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.events import Event, MessageEvent, Started
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.simulator.server import Simulator
from dragoman.simulator.state import ReceivedRequest

MODELS = ("claude-sonnet-4-5", "claude-sonnet-5", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5")
ONE_OF_EACH = ("claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5")

Tested = TypeVar("Tested", bound=Backend)

_TRIES = 3


def text(value: str) -> Block:
    """Return a text block."""
    return {"type": "text", "text": value}


def user(*content: Block | str) -> Message:
    """Return a user message. A string becomes a text block."""
    return Message(role="user", content=_blocks(content))


def assistant(*content: Block | str) -> Message:
    """Return an assistant message. A string becomes a text block."""
    return Message(role="assistant", content=_blocks(content))


def _blocks(content: Sequence[Block | str]) -> list[Block]:
    return [text(part) if isinstance(part, str) else part for part in content]


@dataclass
class Answer:
    """The events of one run, and the accumulated message."""

    events: list[Event]
    accumulated: AccumulatedMessage

    @property
    def started(self) -> Started:
        """The one `Started` event."""
        [started] = [event for event in self.events if isinstance(event, Started)]
        return started

    @property
    def path(self) -> str:
        """The kind of process that served the run."""
        return self.started.path

    @property
    def text(self) -> str:
        """The text of all text blocks."""
        blocks = self.accumulated.message["content"]
        return "".join(str(block["text"]) for block in blocks if block["type"] == "text")

    @property
    def message(self) -> Message:
        """The response as OpenAI's clients send it back: the text alone."""
        return assistant(self.text)


async def ask(backend: Backend, request: RunRequest, into: list[Event] | None = None) -> Answer:
    """Run a request to the end. `into` gets the events, also those before a failure."""
    events: list[Event] = [] if into is None else into
    async with aclosing(backend.run(request)) as running:
        async for event in running:
            events += [event]  # one by one, so that the events before a failure are kept
    return Answer(events, accumulate(events))


@dataclass
class Harness(Generic[Tested]):
    """A backend under test, and the simulator that it calls."""

    backend: Tested
    simulator: Simulator

    def request(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> RunRequest:
        """Return a request as a dialect makes it."""
        canonical = cast("MessagesRequest", {"model": model, "messages": list(messages), **body})
        return RunRequest("run_test", Catalog().resolve(model).model, canonical)

    async def ask(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> Answer:
        """Run a request to the end."""
        return await ask(self.backend, self.request(messages, model, **body))

    async def read(
        self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", *, into: list[Event], **body: object
    ) -> None:
        """Run a request to the end. `into` gets the events, also those before a failure."""
        await ask(self.backend, self.request(messages, model, **body), into)

    @property
    def calls(self) -> list[ReceivedRequest]:
        """The requests that reached the API."""
        return self.simulator.calls


@dataclass
class Runtime(Harness[ClaudeCodeBackend]):
    """The Claude Code backend."""

    options: ClaudeCodeOptions

    async def until(self, running: AsyncIterator[Event], accept: Callable[[Event], bool]) -> Event:
        """Read events up to the first one that is accepted."""
        async for event in running:
            if accept(event):
                return event
        raise AssertionError("the run ended before that")

    async def ends_in_one_call(self, attempt: Callable[[], Awaitable[object]]) -> None:
        """Attempt the same until it made a single call of the API, three times at most; fail if it never did.

        For responses that come in one burst: the runtime calls again within milliseconds, and the gateway kills it
        before that. On a busy machine the gateway may be late (docs/guarantees.md), but not every time.
        """
        counts: list[int] = []
        while 1 not in counts and len(counts) < _TRIES:
            before = len(self.calls)
            await attempt()
            counts.append(len(self.calls) - before)
        assert 1 in counts

    @property
    def processes(self) -> JSONObject:
        """The backend's numbers of processes."""
        return cast("JSONObject", self.backend.status()["processes"])


@asynccontextmanager
async def runtime(folder: Path, *, signed_in: bool = False, **options: object) -> AsyncIterator[Runtime]:
    """A Claude Code backend. With `signed_in` the dummy token of the environment replaces a sign-in."""
    async with Simulator() as simulator:
        given = {
            "warm_processes": 0,
            "long_processes": 0,
            "retries": 0,
            "config_dir": folder / "owner" if signed_in else None,
            **options,
        }
        built = ClaudeCodeOptions(
            state_dir=folder / "state",
            base_url=simulator.url,
            api_key=None if signed_in else "sk-ant-dummy",
            signed_in=signed_in,
            **given,  # type: ignore[arg-type]
        )
        backend = ClaudeCodeBackend(built)
        await backend.start()
        try:
            yield Runtime(backend, simulator, built)
        finally:
            await backend.aclose()


@dataclass
class Cli(Harness[ClaudeCliBackend]):
    """The command-line backend."""

    options: ClaudeCliOptions

    @property
    def files(self) -> list[Path]:
        """The files of runs: output and system prompts."""
        state = self.options.state_dir
        return [
            path
            for folder in (state, state / "output", state / "prompts")
            for path in sorted(folder.iterdir())
            if path.is_file()
        ]


@asynccontextmanager
async def command_line(folder: Path, **options: object) -> AsyncIterator[Cli]:
    """A command-line backend."""
    async with Simulator() as simulator:
        given = {"retries": 0, "api_key": "sk-ant-dummy", **options}
        built = ClaudeCliOptions(
            state_dir=folder / "state",
            base_url=simulator.url,
            **given,  # type: ignore[arg-type]
        )
        backend = ClaudeCliBackend(built)
        await backend.start()
        try:
            yield Cli(backend, simulator, built)
        finally:
            await backend.aclose()
            assert not backend._runs


def stand_in(folder: Path, program: str, flags: Sequence[str] = ()) -> Path:
    """Return a command that answers `--help` like an installation with these flags, and else runs a shell program."""
    help_text = "\n".join(["--print", "--output-format", *flags])
    return _command(
        folder, f'#!/bin/sh\nif [ "$1" = --help ]; then cat <<EOF\n{help_text}\nEOF\nexit 0; fi\n{program}\n'
    )


_SCRIPTED_RUNTIME = """
import json, sys
for line in sys.stdin:
    frame = json.loads(line)
    if frame["type"] == "control_request":
        response = {{"subtype": "success", "request_id": frame["request_id"], "response": {response!r}}}
        print(json.dumps({{"type": "control_response", "response": response}}), flush=True)
    else:
        print({output!r}, flush=True)
"""


def scripted_runtime(folder: Path, *frames: object, response: JSONObject | None = None) -> Path:
    """Return a command that answers every control request with a response, and every message with these frames."""
    output = "\n".join(json.dumps(frame) for frame in frames)
    return _command(folder, f"#!{sys.executable}\n{_SCRIPTED_RUNTIME.format(output=output, response=response or {})}")


def _command(folder: Path, program: str) -> Path:
    command = folder / "claude"
    command.write_text(program)
    command.chmod(0o700)
    return command


def is_alive(pid: int) -> bool:
    """Return whether a process exists, zombies included: only their parent can reap them."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """Return the living children of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def without_marks(value: object) -> object:
    """Return the same JSON without cache marks, and with texts as blocks: the API treats both forms as one prefix."""
    if isinstance(value, list):
        return [without_marks(item) for item in value]
    if isinstance(value, dict):
        stripped = {key: without_marks(item) for key, item in value.items() if key != "cache_control"}
        if isinstance(stripped.get("content"), str) and "role" in stripped:
            stripped["content"] = [{"type": "text", "text": stripped["content"]}]
        return stripped
    return value


def message_events(answer: Answer) -> list[MessageEvent]:
    """Return the events of the message itself."""
    return [event for event in answer.events if isinstance(event, MessageEvent)]
