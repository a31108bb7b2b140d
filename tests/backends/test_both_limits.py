"""Tool calls under a small `max_tokens`: the call arrives whole, or as far as the limit allows. Never an error."""

from pathlib import Path

import pytest
from any_backend import BACKENDS, either
from backend_harness import ONE_OF_EACH, text, user

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.faults import Fault

TOOLS: list[JSONObject] = [{"name": "say", "input_schema": {"type": "object"}}]
LONG: Block = {"type": "tool_use", "id": "toolu_9", "name": "say", "input": {"text": "once upon a time " * 30}}


def say(id_: str) -> Block:
    """Return a short tool call."""
    return {"type": "tool_use", "id": id_, "name": "say", "input": {"text": "hi"}}


@BACKENDS
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_calls_within_a_small_limit_are_complete(tmp_path: Path, kind: str, model: str) -> None:
    """One call, parallel calls, and texts around them: `tool_use`, with usage, in one API call each."""
    replies = ([say("toolu_1")], [text("Wait."), say("toolu_2"), say("toolu_3"), text("So.")])
    async with either(kind, tmp_path) as harness:
        for count, reply in enumerate(replies, 1):
            harness.simulator.inject(Fault(content=reply))
            answer = await harness.ask([user("x")], model, tools=TOOLS, max_tokens=255)
            message = answer.accumulated.message
            assert [block for block in message["content"] if block["type"] != "thinking"] == reply
            assert message["stop_reason"] == "tool_use"
            assert message["usage"]["output_tokens"] > 1
            assert len(harness.calls) == count


@BACKENDS
async def test_a_call_that_is_cut_ends_with_the_limit(tmp_path: Path, kind: str) -> None:
    """What the model wrote of the input is kept, and the stop reason is `max_tokens`."""
    async with either(kind, tmp_path) as harness:
        harness.simulator.inject(Fault(content=[LONG]))
        answer = await harness.ask([user("x")], tools=TOOLS, max_tokens=20)
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
        assert answer.accumulated.arguments[0].startswith('{"text":"once upon')
        assert len(harness.calls) == 1


@BACKENDS
async def test_a_small_limit_sends_the_same_request(tmp_path: Path, kind: str) -> None:
    """Apart from the limit, the request is the same to the byte: tools, history and betas."""
    messages = [user("x")]
    async with either(kind, tmp_path) as harness:
        for limit in (255, 256):
            await harness.ask(messages, tools=TOOLS, max_tokens=limit)
        small, large = harness.calls
        assert small.headers.get("anthropic-beta") == large.headers.get("anthropic-beta")
        for body in (small.body, large.body):
            body.pop("max_tokens")
            body.pop("metadata", None)
        assert small.body == large.body
