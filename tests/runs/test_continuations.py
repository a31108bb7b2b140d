"""Responses that the API sends in several parts."""

from collections.abc import AsyncGenerator
from typing import cast

import pytest

from dragoman.backends.base import RunRequest
from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
    Started,
)
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.redaction import Redactor
from dragoman.runs.executor import grouped, run_with_continuations
from dragoman.runs.records import record_of
from dragoman.runs.run import Run

REQUEST = RunRequest(
    "run_x",
    MODELS[0],
    cast("MessagesRequest", {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}]}]}),
)


def part(text: str, reason: str, prompt: int = 5) -> list[Event]:
    """Return the events of one response of the API."""
    usage: JSONObject = {"input_tokens": prompt, "output_tokens": 1, "service_tier": "standard"}
    usage["server_tool_use"] = {"web_search_requests": 2}
    return [
        Started("api"),
        MessageStart({"type": "message_start", "message": {"id": text, "content": [], "usage": usage}}),
        BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        BlockStop(0, {"type": "content_block_stop", "index": 0}),
        MessageDelta({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 3}}),
        MessageStop({"type": "message_stop"}),
    ]


class PartsBackend:
    """A backend that returns one part after the other."""

    def __init__(self, *parts: list[Event]) -> None:
        self.parts = list(parts)
        self.requests: list[RunRequest] = []

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Yield the next part; the last one again if there are no more."""
        self.requests.append(request)
        for event in self.parts[min(len(self.requests), len(self.parts)) - 1]:
            yield event


async def read(backend: PartsBackend) -> list[Event]:
    """Return all events of the joined response."""
    run = Run("me", "m")
    await run_with_continuations(grouped(backend.run), REQUEST, run)
    return await run.next(0) or []


async def test_parts_are_joined_to_one_response() -> None:
    """Block indexes continue, usage is added, and the pauses are not visible."""
    backend = PartsBackend(part("one", "pause_turn"), part("two", "pause_turn"), part("three", "end_turn"))
    events = await read(backend)
    assert [type(event) for event in events].count(Started) == 1
    assert [event.index for event in events if isinstance(event, BlockStart)] == [0, 1, 2]
    message = accumulate(events).message
    assert [block["text"] for block in message["content"]] == ["one", "two", "three"]
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["input_tokens"] == 15
    assert message["usage"]["output_tokens"] == 9
    assert cast("JSONObject", message["usage"])["server_tool_use"] == {"web_search_requests": 6}
    assert cast("JSONObject", message["usage"])["service_tier"] == "standard"
    assert isinstance(events[-1], MessageStop)


async def test_the_response_so_far_is_sent_back_unchanged() -> None:
    """As one assistant message that grows."""
    backend = PartsBackend(part("one", "pause_turn"), part("two", "pause_turn"), part("three", "end_turn"))
    await read(backend)
    last = backend.requests[-1].body["messages"]
    assert [message["role"] for message in last] == ["user", "assistant"]
    assert [block["text"] for block in last[1]["content"]] == ["one", "two"]
    assert REQUEST.body["messages"] == backend.requests[0].body["messages"]


async def test_a_response_without_a_pause_is_passed_on_unchanged() -> None:
    """The events are the same."""
    events = part("one", "end_turn")
    assert await read(PartsBackend(events)) == events


async def test_a_response_that_never_ends_is_an_error() -> None:
    """After a maximum number of parts."""
    with pytest.raises(UpstreamFailed, match="paused"):
        await read(PartsBackend(part("again", "pause_turn")))


async def test_each_call_of_a_response_in_parts_is_priced_by_its_own_prompt() -> None:
    """The sum of the prompts is above the length from which a prompt costs more, and no single prompt is."""
    parts = [part("one", "pause_turn", 60_000), part("two", "end_turn", 60_003)]
    run = Run("me", "claude-haiku-5-5")
    await run_with_continuations(grouped(PartsBackend(*parts).run), REQUEST, run)
    record = record_of(run, Redactor(), content=False)
    assert record.usage is not None
    assert (record.usage["input_tokens"], record.usage["output_tokens"]) == (120_003, 6)
    assert [call["input_tokens"] for call in record.calls] == [60_000, 60_003]
    assert record.cost == pytest.approx(120_003 * 0.10e-6 + 6 * 0.50e-6 + 4 * 0.01)


async def test_a_part_that_breaks_off_is_priced_for_what_is_known() -> None:
    """Its prompt, with the whole first part."""
    broken = PartsBackend(part("one", "pause_turn", 60_000), [*part("two", "end_turn", 60_003)[:3], Restarted()])
    run = Run("me", "claude-haiku-5-5")
    with pytest.raises(UpstreamFailed):
        await run_with_continuations(grouped(broken.run), REQUEST, run)
    assert record_of(run, Redactor(), content=False).cost == pytest.approx(120_003 * 0.10e-6 + 4 * 0.50e-6 + 4 * 0.01)
