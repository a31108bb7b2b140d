"""Long turns of the API's own tools, which it gives in parts: asked on where it paused, and shown as one answer.

An answer that stops with `pause_turn` is sent back as it is, and the model goes on from there.
Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias, cast

from dragoman.backends.base import RunRequest
from dragoman.errors import UpstreamFailed
from dragoman.events import (
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
from dragoman.messages import JSON, JSONObject, Message, MessagesRequest
from dragoman.runs.run import Run

Ask: TypeAlias = Callable[[RunRequest], AsyncGenerator[Event, None]]

_MOST_PARTS = 10


async def whole(ask: Ask, request: RunRequest, run: Run) -> None:
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
                    run.happened(shown)
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
        content = self._run.said().message["content"][self._blocks :]
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
