"""The official SDK reads responses, streams, the list of models and errors."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from dragoman.simulator.faults import Fault
from dragoman.simulator.server import Simulator


@pytest.fixture
async def sdk(simulator: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """Yield the SDK's client, without retries."""
    async with anthropic.AsyncAnthropic(api_key="sk-test", base_url=simulator.url, max_retries=0) as client:
        yield client


async def test_message_stream_and_count(sdk: anthropic.AsyncAnthropic) -> None:
    """A stream gives the same response as a request without a stream."""
    plain = await sdk.messages.create(
        model="claude-opus-5-5", max_tokens=100, messages=[{"role": "user", "content": "Count to 20"}]
    )
    async with sdk.messages.stream(
        model="claude-opus-5-5", max_tokens=100, messages=[{"role": "user", "content": "Count to 20"}]
    ) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == " ".join(str(i) for i in range(1, 21))
    assert len(texts) == 20
    assert [block.to_dict() for block in final.content] == [block.to_dict() for block in plain.content]
    assert final.usage.output_tokens == plain.usage.output_tokens
    counted = await sdk.messages.count_tokens(model="claude-opus-5-5", messages=[{"role": "user", "content": "Hello"}])
    assert counted.input_tokens > 0


async def test_tool_loop_with_thinking(sdk: anthropic.AsyncAnthropic) -> None:
    """A call, its result and the answer. The thinking is sent back with its signature."""
    tools: list[anthropic.types.ToolUnionParam] = [{"name": "look", "input_schema": {"type": "object"}}]
    prompt: anthropic.types.MessageParam = {"role": "user", "content": 'look {"at": "it"}'}
    first = await sdk.messages.create(model="claude-sonnet-5-5", max_tokens=500, tools=tools, messages=[prompt])
    call = first.content[-1]
    assert call.type == "tool_use"
    result: anthropic.types.ToolResultBlockParam = {"type": "tool_result", "tool_use_id": call.id, "content": "seen"}
    second = await sdk.messages.create(
        model="claude-sonnet-5-5",
        max_tokens=500,
        tools=tools,
        messages=[prompt, first.to_param(), {"role": "user", "content": [result]}],
    )
    assert [block.text for block in second.content if block.type == "text"] == ["The tool said: seen"]


async def test_models_have_capabilities(sdk: anthropic.AsyncAnthropic) -> None:
    """The SDK's types contain the capabilities."""
    model = await sdk.models.retrieve("claude-sonnet-5-5")
    assert model.capabilities is not None
    assert model.capabilities.thinking.types.between_tools.supported
    assert model.lifecycle == "active"
    listed = [model.id async for model in sdk.models.list(limit=3)]
    assert listed[0] == "claude-opus-5-5"


async def test_error_classes(sdk: anthropic.AsyncAnthropic, simulator: Simulator) -> None:
    """The SDK raises its errors for a status and for an event in the stream."""
    simulator.inject(Fault(status=529))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as overloaded:
        await sdk.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    assert overloaded.value.status_code == 529
    simulator.inject(Fault(action="error", after=1))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with sdk.messages.stream(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            await stream.get_final_message()
