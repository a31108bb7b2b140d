"""Accounts that do what a test says, a clock that stands still, and a router before them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from dragoman.backends.base import RunRequest
from dragoman.core.catalog import MODELS, Catalog
from dragoman.core.errors import GatewayError, NotSignedIn, StoreFailed
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
from dragoman.routing.upstream import BudgetedBackend, Upstream
from dragoman.runs.executor import RunExecutor
from dragoman.runs.run import Run
from dragoman.stores.base import SpendingLedger

MODEL = "claude-opus-5-5"
USAGE: JSONObject = {"input_tokens": 1000, "output_tokens": 1}


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Fake:
    """A backend that answers, or fails: by itself, before its first word or after it."""

    name: str = "fake"
    failure: GatewayError | None = None
    breaks: GatewayError | None = None
    refuses_thinking: GatewayError | None = None
    listed: Sequence[str] = ()
    trouble: str | None = None
    asked: list[RunRequest] = field(default_factory=list)
    started: bool = False
    closed: bool = False

    async def start(self) -> None:
        """Note it."""
        self.started = True

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer, or fail."""
        self.asked.append(request)
        yield Started("api")
        if self.failure:
            raise self.failure
        kinds = {block["type"] for message in request.body["messages"] for block in message["content"]}
        if self.refuses_thinking and "thinking" in kinds:
            raise self.refuses_thinking
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
        """What a test says."""
        if not self.listed:
            raise NotSignedIn("No list.")
        return [ListedModel(id_, "") for id_ in self.listed]

    def ready(self) -> str | None:
        """What a test says."""
        return self.trouble

    def status(self) -> JSONObject:
        """Nothing much."""
        return {"authentication": "none"}


class Counting(Fake):
    """One that can count tokens."""

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """A number."""
        self.asked.append(request)
        return {"input_tokens": 7}


class Memory:
    """A ledger that forgets with its process."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], int] = {}
        self.broken = False

    async def spent(self, name: str, day: str) -> int:
        """The sum."""
        self._check()
        return self.sums.get((name, day), 0)

    async def add(self, name: str, day: str, amount: int) -> int:
        """Add."""
        self._check()
        self.sums[name, day] = self.sums.get((name, day), 0) + amount
        return self.sums[name, day]

    async def aclose(self) -> None:
        """Nothing is open."""

    def _check(self) -> None:
        if self.broken:
            raise StoreFailed("the disk is full")


class Routed:
    """A router before fakes, with a clock of its own."""

    def __init__(
        self, fakes: Mapping[str, Fake], *, fallback: bool = True, ledger: SpendingLedger | None = None
    ) -> None:
        self.fakes = dict(fakes)
        self.clock = Clock()
        self.ledger = ledger or Memory()
        self._fallback = fallback
        self.upstreams: dict[str, Upstream] = {}

    def add(  # noqa: PLR0913 - a value each
        self,
        name: str,
        *,
        order: int | None = None,
        models: Sequence[str] = (),
        clients: Sequence[str] = (),
        places: int | None = None,
        daily: str | None = None,
        agents: bool = False,
    ) -> "Routed":
        """Make an upstream of a fake; the others get the defaults."""
        fake = self.fakes[name]
        budget = Budget(name, Decimal(daily), self.ledger, self.clock) if daily else None
        self.upstreams[name] = Upstream(
            name,
            RunExecutor(BudgetedBackend(fake, budget) if budget else fake),
            order=len(self.upstreams) + 1 if order is None else order,
            models=models,
            clients=clients,
            places=places,
            budget=budget,
            rest=CircuitBreaker(self.clock),
            agents=agents,
        )
        return self

    async def router(self) -> Router:
        """The router, started."""
        for name in self.fakes:
            if name not in self.upstreams:
                self.add(name)
        self.made = Router(list(self.upstreams.values()), fallback=self._fallback)
        await self.made.start()
        return self.made

    def asked(self) -> list[int]:
        """How often each fake was asked."""
        return [len(fake.asked) for fake in self.fakes.values()]


def user(words: str) -> Message:
    """A user message."""
    return Message(role="user", content=[{"type": "text", "text": words}])


def assistant(*blocks: Block) -> Message:
    """An answer."""
    return Message(role="assistant", content=list(blocks) or [{"type": "text", "text": "Hi"}])


def request(*messages: Message, model: str = MODEL) -> RunRequest:
    """A question."""
    body = cast("MessagesRequest", {"model": model, "messages": list(messages) or [user("Hello")]})
    return RunRequest("run_test", Catalog().resolve(model).model, body)


async def ask(router: Router, question: RunRequest | None = None) -> Run:
    """Ask to the end; a failure is raised."""
    run = Run("me", MODELS[0].id)
    await router.ask(question or request(), run)
    return run
