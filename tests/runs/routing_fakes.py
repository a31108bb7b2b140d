"""Upstreams that do what a test asks for, a clock that a test sets, and a router before them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.core.catalog import MODELS, Catalog
from dragoman.core.errors import GatewayError, NotSignedIn
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
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.core.model_list import ListedModel
from dragoman.routing.budget import Budget
from dragoman.routing.circuit_breaker import CircuitBreaker
from dragoman.routing.router import Router
from dragoman.routing.upstream import Upstream
from dragoman.runs.executor import RunExecutor
from dragoman.runs.metering import Meter
from dragoman.runs.policy import Clock as MeterClock
from dragoman.runs.policy import NoPolicy
from dragoman.runs.run import Run
from dragoman.stores.ledger import SharedLimits
from dragoman.testing.memory_limits import MemoryLimits

MODEL = "claude-opus-5-5"
USAGE: JSONObject = {"input_tokens": 1000, "output_tokens": 1}


@dataclass
class Clock:
    """A clock that moves only when a test sets it."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass
class FakeBackend:
    """A backend that answers or fails.

    Attributes:
        failure: Raised before the first output.
        breaks: Raised in the middle of a response.
        rejects_thinking: Raised if the request contains thinking.
        listed: The models that it lists; empty: the list fails.
        not_ready: Why it is not ready.
        requests: The requests that it received.
    """

    name: str = "fake"
    failure: GatewayError | None = None
    breaks: GatewayError | None = None
    rejects_thinking: GatewayError | None = None
    listed: Sequence[str] = ()
    not_ready: str | None = None
    requests: list[RunRequest] = field(default_factory=list)
    started: bool = False
    closed: bool = False

    async def start(self) -> None:
        """Record the call."""
        self.started = True

    async def aclose(self) -> None:
        """Record the call."""
        self.closed = True

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer, or fail."""
        self.requests.append(request)
        yield Started("api")
        if self.failure:
            raise self.failure
        kinds = {block["type"] for message in request.body["messages"] for block in message["content"]}
        if self.rejects_thinking and "thinking" in kinds:
            raise self.rejects_thinking
        yield MessageStart({"type": "message_start", "message": {"id": "m", "content": [], "usage": USAGE}})
        yield BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        yield BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}})
        if self.breaks:
            raise self.breaks
        yield BlockStop(0, {"type": "content_block_stop", "index": 0})
        usage: JSONObject = {"output_tokens": 100}
        yield MessageDelta({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
        yield MessageStop({"type": "message_stop"})

    async def models(self) -> Sequence[ListedModel]:
        """Return the models."""
        if not self.listed:
            raise NotSignedIn("No list.")
        return [ListedModel(id_, "") for id_ in self.listed]

    def ready(self) -> str | None:
        """Return why it is not ready."""
        return self.not_ready

    def status(self) -> JSONObject:
        """Return a short status."""
        return {"authentication": "none"}


class CountingBackend(FakeBackend):
    """A backend that can count tokens."""

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return a number."""
        self.requests.append(request)
        return {"input_tokens": 7}


class Routed:
    """A router before fake backends, with its own clock."""

    def __init__(
        self, fakes: Mapping[str, FakeBackend], *, fallback: bool = True, ledger: SharedLimits | None = None
    ) -> None:
        self.fakes = dict(fakes)
        self.clock = Clock()
        self.ledger = ledger or MemoryLimits()
        self.meter = Meter(self.ledger, NoPolicy(), None, clock=MeterClock(wall=self.clock))
        self._fallback = fallback
        self.upstreams: dict[str, Upstream] = {}

    def add(  # noqa: PLR0913 - a value each
        self,
        name: str,
        *,
        order: int | None = None,
        models: Sequence[str] = (),
        clients: Sequence[str] = (),
        slots: int | None = None,
        daily: str | None = None,
        agents: bool = False,
    ) -> "Routed":
        """Configure the upstream of a fake; the others get the defaults."""
        fake = self.fakes[name]
        self.upstreams[name] = Upstream(
            name,
            RunExecutor(fake),
            order=len(self.upstreams) + 1 if order is None else order,
            models=models,
            clients=clients,
            slots=slots,
            budget=Budget(name, Decimal(daily), self.meter) if daily else None,
            breaker=CircuitBreaker(self.clock),
            agents=agents,
        )
        return self

    async def router(self) -> Router:
        """Return the router, started."""
        for name in self.fakes:
            if name not in self.upstreams:
                self.add(name)
        router = Router(list(self.upstreams.values()), fallback=self._fallback)
        await router.start()
        return router

    def request_counts(self) -> list[int]:
        """Return how many requests each fake received."""
        return [len(fake.requests) for fake in self.fakes.values()]


def user(text: str) -> Message:
    """Return a user message."""
    return Message(role="user", content=[{"type": "text", "text": text}])


def assistant(*blocks: Block) -> Message:
    """Return a response as the client sends it back."""
    return Message(role="assistant", content=list(blocks) or [{"type": "text", "text": "Hi"}])


def request(*messages: Message, model: str = MODEL, **fields: object) -> RunRequest:
    """Return a request."""
    body = cast("MessagesRequest", {"model": model, "messages": list(messages) or [user("Hello")], **fields})
    return RunRequest("run_test", Catalog().resolve(model).model, body)


async def execute(router: Router, request_: RunRequest | None = None) -> Run:
    """Execute a run to its end, and return it. A failure is raised."""
    run = Run("me", MODELS[0].id)
    await router.execute(request_ or request(), run)
    return run
