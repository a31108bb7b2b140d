"""Responses that the runtime would repair by a second API call: the client gets the first one, or an error at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from backend_harness import Answer, Runtime, runtime, user
from gateways import with_timeout

from dragoman.backends.shared.message_reader import MessageReader
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import Event, Retrying
from dragoman.core.messages import JSONObject
from dragoman.simulator.faults import Fault

THINKING: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 9000}
TOOLS: dict[str, Any] = {
    "tools": [{"name": "look_up", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "any"},
}


async def ask(harness: Runtime, fault: Fault, prompt: str, body: dict[str, Any]) -> Answer:
    """Ask with a fault, and fail if the answer takes long: there must be no silence."""
    harness.simulator.inject(fault)
    return await with_timeout(harness.ask([user(prompt)], **body))


@pytest.mark.parametrize(
    ("fault", "prompt", "body"),
    [
        (Fault(edit="cut", event=6, pace=0.02), "Count to 3", {}),
        (Fault(edit="cut", event=5, pace=0.02), "Look it up", TOOLS),
        (Fault(edit="cut", event=20, pace=0.01), "Think first. Count to 30", THINKING),
        (Fault(action="error", after=3), "Count to 3", {}),
        (Fault(edit="repeat", event=5), "Count to 3", {}),
        (Fault(edit="drop", event=5), "Count to 3", {}),
        (Fault(edit="drop", event=6), "Count to 3", {}),
        (Fault(edit="repeat", event=0), "Count to 3", {}),
        (Fault(edit="repeat", event=1), "Count to 3", {}),
        (Fault(edit="second message"), "Count to 3", {}),
        (Fault(stop_reason="unknown"), "Count to 3", {}),
        (Fault(stop_reason="null"), "Count to 3", {}),
    ],
    ids=lambda value: str(value)[:90] if isinstance(value, Fault) else "",
)
async def test_a_broken_response_is_an_error_at_once(
    tmp_path: Path, fault: Fault, prompt: str, body: dict[str, Any]
) -> None:
    """Also if blocks were finished before the break. The API was called once, and the process is gone."""
    async with runtime(tmp_path) as harness:

        async def fails() -> None:
            with pytest.raises(UpstreamFailed) as caught:
                await ask(harness, fault, prompt, body)
            assert caught.value.code == "upstream_error"
            assert "1 2 3" not in caught.value.message
            assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}

        await harness.ends_in_one_call(fails)


@pytest.mark.parametrize("content", [{"type": "text", "text": " "}, {"type": "thinking", "thinking": "Hm"}])
async def test_a_response_without_output_is_one_api_call(tmp_path: Path, content: JSONObject) -> None:
    """The runtime would ask Claude for something visible. The client gets what Claude said."""
    async with runtime(tmp_path) as harness:

        async def ends() -> None:
            answer = await ask(harness, Fault(content=[{"signature": "x", **content}]), "Hello", {})
            assert answer.accumulated.message["stop_reason"] == "end_turn"
            assert answer.text == str(content.get("text", ""))

        await harness.ends_in_one_call(ends)


@pytest.mark.parametrize(("status", "retries"), [(400, 0), (403, 0), (404, 1)])
async def test_a_refused_call_is_repeated_only_if_it_is_counted(tmp_path: Path, status: int, retries: int) -> None:
    """With its experimental betas, the runtime would repeat a 400 without them, and report only the second call."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(status=status), times=2)
        events: list[Event] = []
        with pytest.raises(GatewayError):
            await with_timeout(harness.read([user("Hello")], "claude-sonnet-5-5", into=events))
        assert sum(isinstance(event, Retrying) for event in events) == retries
        assert len(harness.calls) == 1 + retries


@pytest.mark.parametrize("after", [0, 6])
async def test_thinking_that_breaks_off_is_not_repeated_without_a_count(tmp_path: Path, after: int) -> None:
    """The runtime would repeat the call without a report, or report a retry that cannot reach the API."""
    async with runtime(tmp_path, retries=2) as harness:
        harness.simulator.inject(Fault(action="error", after=after, pace=0.02))
        events: list[Event] = []
        with pytest.raises(UpstreamFailed) as caught:
            await with_timeout(harness.read([user("Think first. Count to 30")], into=events, **THINKING))
        assert caught.value.message == "Claude's response broke off."
        assert not any(isinstance(event, Retrying) for event in events)
        assert len(harness.calls) == 1


async def test_thinking_whose_connection_breaks_is_a_counted_retry(tmp_path: Path) -> None:
    """The runtime reports the retry at once, although its next call was blocked."""
    async with runtime(tmp_path, retries=2) as harness:
        harness.simulator.inject(Fault(action="cut", after=6, pace=0.02))
        events: list[Event] = []
        await with_timeout(harness.read([user("Think first. Count to 30")], into=events, **THINKING))
        assert sum(isinstance(event, Retrying) for event in events) == 1
        assert len(harness.calls) == 2


def test_a_failure_after_the_stop_reason_is_an_error() -> None:
    """The runtime makes up `message_stop` after an error of the API that comes in place of it."""
    reader = MessageReader()
    block: JSONObject = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hi"}}
    start: JSONObject = {"type": "message_start", "message": {"usage": {}}}
    stop: JSONObject = {"type": "content_block_stop", "index": 0}
    ending: JSONObject = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
    for event in (start, block, stop, ending):
        list(reader.feed({"type": "stream_event", "event": event}))
    failure: JSONObject = {"model": "<synthetic>", "content": [{"type": "text", "text": "API Error: overloaded"}]}
    list(reader.feed({"type": "assistant", "message": failure}))
    list(reader.feed({"type": "stream_event", "event": {"type": "message_stop"}}))
    list(reader.feed({"type": "result", "is_error": True}))
    assert (reader.outcome, isinstance(reader.error, UpstreamFailed)) == ("failed", True)


async def test_a_second_message_after_a_tool_call_spoils_the_process(tmp_path: Path) -> None:
    """The response is right, but the process has another conversation than the client."""
    async with runtime(tmp_path) as harness:
        answer = await ask(harness, Fault(edit="second message"), "Look it up", TOOLS)
        assert answer.accumulated.message["stop_reason"] == "tool_use"
        # They end once the second message arrives, perhaps after the response.
        await with_timeout(asyncio.gather(*(session.exited for session in harness.backend._sessions)))
        assert harness.processes["live"] == 0
