"""A simulator and a backend in front of it, and above all the real runtime."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

from dragoman.backends.base import Backend, RunRequest
from dragoman.backends.claude_code.backend import ClaudeCodeBackend
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.core.accumulate import AccumulatedMessage, accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.events import Event, MessageEvent, Started
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.simulator.server import Simulator
from dragoman.simulator.state import Received

MODELS = ("claude-sonnet-4-5", "claude-sonnet-5", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-5-5")
ONE_OF_EACH = ("claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5")

Tested = TypeVar("Tested", bound=Backend)


def text(words: str) -> Block:
    """A text block."""
    return {"type": "text", "text": words}


def user(*content: Block | str) -> Message:
    """A user message."""
    return Message(role="user", content=[text(part) if isinstance(part, str) else part for part in content])


def assistant(*content: Block | str) -> Message:
    """An assistant message."""
    return Message(role="assistant", content=[text(part) if isinstance(part, str) else part for part in content])


@dataclass
class Answer:
    """What one run gave."""

    events: list[Event]
    folded: AccumulatedMessage

    @property
    def started(self) -> Started:
        """The one `Started` event."""
        [started] = [event for event in self.events if isinstance(event, Started)]
        return started

    @property
    def path(self) -> str:
        """How the answer was had."""
        return self.started.path

    @property
    def said(self) -> str:
        """All text."""
        blocks = self.folded.message["content"]
        return "".join(str(block["text"]) for block in blocks if block["type"] == "text")

    @property
    def message(self) -> Message:
        """The answer as the next request carries it: the text alone, as OpenAI's clients send it back."""
        return assistant(self.said)


async def ask(backend: Backend, request: RunRequest, into: list[Event] | None = None) -> Answer:
    """Run to the end, and keep the events, also where the run fails in between."""
    events: list[Event] = [] if into is None else into
    async with aclosing(backend.run(request)) as running:
        async for event in running:
            events += [event]  # one by one: they are kept also where the run fails
    return Answer(events, accumulate(events))


@dataclass
class Harness(Generic[Tested]):
    """A backend under test, and the simulator that it asks."""

    backend: Tested
    simulator: Simulator

    def request(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> RunRequest:
        """A request as the wire makes it."""
        whole = cast("MessagesRequest", {"model": model, "messages": list(messages), **body})
        return RunRequest("run_test", Catalog().resolve(model).model, whole)

    async def ask(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> Answer:
        """Run to the end."""
        return await ask(self.backend, self.request(messages, model, **body))

    async def read(
        self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", *, into: list[Event], **body: object
    ) -> None:
        """Run, and keep the events, also where the run fails in between."""
        await ask(self.backend, self.request(messages, model, **body), into)

    @property
    def calls(self) -> list[Received]:
        """What reached the API."""
        return self.simulator.calls


@dataclass
class Runtime(Harness[ClaudeCodeBackend]):
    """The runtime backend."""

    options: ClaudeCodeOptions

    async def until(self, running: AsyncIterator[Event], wanted: Callable[[Event], bool]) -> Event:
        """Read events up to one that is wanted."""
        async for event in running:
            if wanted(event):
                return event
        raise AssertionError("the run ended before that")

    @property
    def processes(self) -> JSONObject:
        """The backend's count of its processes."""
        return cast("JSONObject", self.backend.status()["processes"])


@asynccontextmanager
async def runtime(folder: Path, *, signed_in: bool = False, **options: object) -> AsyncIterator[Runtime]:
    """A backend on a simulator of its own. With `signed_in` the dummy token of the environment stands for a sign-in."""
    async with Simulator() as simulator:
        given = {"spares": 0, "retries": 0, "config_dir": folder / "owner" if signed_in else None, **options}
        made = ClaudeCodeOptions(
            state_dir=folder / "state",
            base_url=simulator.url,
            api_key=None if signed_in else "sk-ant-dummy",
            signed_in=signed_in,
            **given,  # type: ignore[arg-type]
        )
        backend = ClaudeCodeBackend(made)
        await backend.start()
        try:
            yield Runtime(backend, simulator, made)
        finally:
            await backend.aclose()


def is_alive(pid: int) -> bool:
    """Whether a process is there, zombies included: nobody but its parent may reap it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
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
    """The same JSON without cache marks, texts alone as blocks: how the API itself sees two requests as one prefix."""
    if isinstance(value, list):
        return [without_marks(item) for item in value]
    if isinstance(value, dict):
        made = {key: without_marks(item) for key, item in value.items() if key != "cache_control"}
        if isinstance(made.get("content"), str) and "role" in made:
            made["content"] = [{"type": "text", "text": made["content"]}]
        return made
    return value


def message_events(answer: Answer) -> list[MessageEvent]:
    """The events that are the answer itself."""
    return [event for event in answer.events if isinstance(event, MessageEvent)]
