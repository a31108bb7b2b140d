"""Long turns of the API's own tools, which it gives in parts: asked on where it paused, and shown as one answer.

An answer that stops with `pause_turn` is sent back as it is, and the model goes on from there.
Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from collections.abc import AsyncGenerator, Callable, Iterator
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
from dragoman.fold import Fold
from dragoman.messages import JSONObject, Message, MessagesRequest

Ask: TypeAlias = Callable[[RunRequest], AsyncGenerator[Event, None]]

_MOST_PARTS = 10
_COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


async def whole(ask: Ask, request: RunRequest) -> AsyncGenerator[Event, None]:
    """The events of one answer, however many parts it comes in.

    Args:
        ask: A backend's `run`.
        request: The question.

    Raises:
        UpstreamFailed: The answer does not end.
    """
    joined = _Joined()
    for _ in range(_MOST_PARTS):
        async with aclosing(ask(request)) as events:
            async for event in events:
                for shown in joined.feed(event):
                    yield shown
        if not joined.paused:
            return
        request = replace(request, body=joined.go_on(request.body))
    raise UpstreamFailed(f"Claude paused its answer {_MOST_PARTS} times.")


class _Joined:
    """Makes the parts' events those of one message.

    Attributes:
        paused: Whether the last part stopped where it is to be asked on.
    """

    def __init__(self) -> None:
        self.paused = False
        self._part = Fold()
        self._first = True
        self._blocks = 0
        self._spent: dict[str, int] = {}

    def feed(self, event: Event) -> Iterator[Event]:
        """Take an event of the current part, and yield what is shown of it."""
        self._part.add(event)
        match event:
            case MessageDelta(raw) if _stop_reason(raw) == "pause_turn":
                self.paused = True
            case MessageDelta(raw) if not self._first:
                yield MessageDelta({**raw, "usage": self._summed()})
            case MessageStop() if self.paused:
                pass
            case _ if self._first:
                yield event
            case _:
                yield from self._later(event)

    def go_on(self, body: MessagesRequest) -> MessagesRequest:
        """The request for the next part."""
        message = self._part.result().message
        self._spent = self._usage()
        self._blocks += len(message["content"])
        self._part, self._first, self.paused = Fold(), False, False
        messages = list(body["messages"])
        if messages[-1]["role"] == "assistant":
            said = [*messages.pop()["content"], *message["content"]]
        else:
            said = message["content"]
        return cast("MessagesRequest", {**body, "messages": [*messages, Message(role="assistant", content=said)]})

    def _later(self, event: Event) -> Iterator[Event]:
        match event:
            case BlockStart() | BlockDelta() | BlockStop():
                place = event.index + self._blocks
                yield replace(event, index=place, raw={**event.raw, "index": place})
            case MessageStop():
                yield event
            case Restarted():
                raise UpstreamFailed("Claude's answer broke off in the middle.")
            case Started() | Retrying() | MessageStart() | MessageDelta():
                pass

    def _usage(self) -> dict[str, int]:
        usage = cast("dict[str, int]", self._part.result().message.get("usage", {}))
        return {key: usage.get(key, 0) + self._spent.get(key, 0) for key in _COUNTED}

    def _summed(self) -> JSONObject:
        usage = cast("JSONObject", self._part.result().message.get("usage", {}))
        return {**usage, **self._usage()}


def _stop_reason(raw: JSONObject) -> object:
    delta = raw.get("delta")
    return delta.get("stop_reason") if isinstance(delta, dict) else None
