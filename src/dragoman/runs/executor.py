"""Long turns of the API's own tools, which it gives in parts: asked on where it paused, and shown as one answer.

An answer that stops with `pause_turn` is sent back as it is, and the model goes on from there.
Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons

One account that can be asked: a backend, and the thinking that is kept for what it answered.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, TypeAlias, cast, runtime_checkable

from dragoman.backends.base import Backend, ManagedBackend, RunRequest
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
    Retrying,
    Started,
)
from dragoman.core.messages import JSON, JSONObject, Message, MessagesRequest
from dragoman.runs.reasoning_store import (
    ReasoningStore,
    is_thinking_rejected,
    without_orphan_thinking,
    without_rejected_thinking,
)
from dragoman.runs.run import Run

Ask: TypeAlias = Callable[[RunRequest], AsyncGenerator[Event, None]]

_MOST_PARTS = 10


async def run_with_continuations(ask: Ask, request: RunRequest, run: Run) -> None:
    """Hand a run the events of one answer, however many parts it comes in.

    Args:
        ask: A backend's `run`.
        request: The question.
        run: What the events happen to.

    Raises:
        UpstreamFailed: The answer does not end.
    """
    joined = _Joined(run)
    for _ in range(_MOST_PARTS):
        async with aclosing(ask(request)) as events:
            async for event in events:
                shown = joined.shown(event)
                if shown is not None:
                    run.on_event(shown)
        if not joined.paused:
            return
        request = replace(request, body=joined.go_on(request.body))
    raise UpstreamFailed(f"Claude paused its answer {_MOST_PARTS} times.")


class _Joined:
    """Makes the parts' events those of one message.

    Attributes:
        paused: Whether the last part stopped where it is to be asked on.
    """

    def __init__(self, run: Run) -> None:
        self.paused = False
        self._run = run
        self._first = True
        self._blocks = 0
        self._usage: dict[str, JSON] = {}
        self._spent: JSONObject = {}

    def shown(self, event: Event) -> Event | None:
        """What is shown of an event of the current part."""
        match event:
            case BlockDelta() if self._first:  # most are
                return event
            case MessageStart(raw):
                self._usage = _counted(cast("JSONObject", raw["message"]))
            case MessageDelta(raw):
                self._usage.update(_counted(raw))
                if _stop_reason(raw) == "pause_turn":
                    self.paused = True
                    return None
            case MessageStop() if self.paused:
                return None
            case _:
                pass
        return event if self._first else self._later(event)

    def go_on(self, body: MessagesRequest) -> MessagesRequest:
        """The request for the next part."""
        self._spent = _sum(self._usage, self._spent)
        content = self._run.result().message["content"][self._blocks :]
        self._blocks += len(content)
        self._first, self.paused = False, False
        messages = list(body["messages"])
        said = [*messages.pop()["content"], *content] if messages[-1]["role"] == "assistant" else content
        return cast("MessagesRequest", {**body, "messages": [*messages, Message(role="assistant", content=said)]})

    def _later(self, event: Event) -> Event | None:
        match event:
            case BlockStart() | BlockDelta() | BlockStop():
                place = event.index + self._blocks
                return replace(event, index=place, raw={**event.raw, "index": place})
            case MessageDelta(raw):
                return MessageDelta({**raw, "usage": _sum(self._usage, self._spent)})
            case MessageStop():
                return event
            case Restarted():
                raise UpstreamFailed("Claude's answer broke off in the middle.")
            case Started() | Retrying() | MessageStart():
                return None


def _counted(raw: JSONObject) -> dict[str, JSON]:
    """The figures that an event tells."""
    usage = raw.get("usage")
    return {key: value for key, value in usage.items() if value is not None} if isinstance(usage, dict) else {}


def _sum(usage: JSONObject, spent: JSONObject) -> JSONObject:
    """Figures added up, also those inside of others: what is written for how long, how often the web was searched."""
    made = {**spent, **usage}
    for key in usage.keys() & spent.keys():
        one, other = usage[key], spent[key]
        if isinstance(one, dict) and isinstance(other, dict):
            made[key] = _sum(one, other)
        elif isinstance(one, int) and isinstance(other, int):
            made[key] = one + other
    return made


def _stop_reason(raw: JSONObject) -> object:
    delta = raw.get("delta")
    return delta.get("stop_reason") if isinstance(delta, dict) else None


@runtime_checkable
class Dispatcher(ManagedBackend, Protocol):
    """What asks for a whole answer, at one account or another."""

    async def ask(self, request: RunRequest, run: Run) -> None:
        """Ask, and let the run have the events as they come.

        Raises:
            GatewayError: There is no answer, or only the beginning of one.
        """
        ...


class RunExecutor:
    """Asks at one account: with thinking put back where the client left it out, and on where the API paused.

    Clients that speak the Messages API themselves do both themselves. So do agents: what they thought belongs to the
    many calls that they made, and is nothing to a later request.

    Args:
        backend: How Claude is asked. Whoever made it starts and closes it.
        thinking: Keeps thinking between the requests of a conversation, if anything does.
        alone: Whether there is no other account: then what is refused as another's thinking is asked without it.
    """

    def __init__(self, backend: Backend, thinking: ReasoningStore | None = None, *, alone: bool = False) -> None:
        self.backend = backend
        self._thinking = thinking
        self._alone = alone

    async def ask(self, request: RunRequest, run: Run) -> None:
        """See `Asks.ask`."""
        if request.request_options.verbatim or request.request_options.agent:
            async with aclosing(self.backend.run(request)) as events:
                async for event in events:
                    run.on_event(event)
            return
        thinking = self._thinking
        restored = (
            await thinking.restore(request.body, request.model) if thinking else without_orphan_thinking(request.body)
        )
        run.add_warnings(restored.warnings)
        if restored.body is not request.body:
            request = replace(request, body=restored.body)
        request = await self._asked(request, run)
        if thinking:
            await thinking.remember(request.body, run.result().message)

    async def _asked(self, request: RunRequest, run: Run) -> RunRequest:
        """Ask, and return what was asked in the end."""
        try:
            await run_with_continuations(self.backend.run, request, run)
        except InvalidRequest as error:
            if not self._alone or run.begun or not is_thinking_rejected(error):
                raise
            bare = without_rejected_thinking(request.body)
            run.add_warnings(bare.warnings)
            request = replace(request, body=bare.body)
            await run_with_continuations(self.backend.run, request, run)
        return request
