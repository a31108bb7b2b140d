"""The official Anthropic client against the whole gateway, with the real runtime on the simulator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, TextBlockParam, ToolParam
from anthropic.types.beta import BetaMessageParam
from gateways import TIMEOUT, RunningGateway, gateway

from dragoman.simulator.faults import Fault

PLAIN, NEW = "claude-opus-5", "claude-sonnet-5-5"
BETA_ASK: list[BetaMessageParam] = [{"role": "user", "content": "Reply with exactly: PONG"}]
ASK: list[MessageParam] = [{"role": "user", "content": "Reply with exactly: PONG"}]
WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL: MessageParam = {"role": "user", "content": 'Call get_weather with {"city": "Paris"}, then tell me.'}


@asynccontextmanager
async def gateway_client(folder: Path, **overrides: object) -> AsyncIterator[tuple[RunningGateway, AsyncAnthropic]]:
    """Start a gateway, and the official client for it."""
    async with (
        gateway(folder, **overrides) as running,
        AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
    ):
        yield running, client


def tool_result(call_id: str, text: str) -> MessageParam:
    """Return a tool's result."""
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": text}]}


def text_of(message: anthropic.types.Message) -> str:
    """Return the text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


async def test_conversation_continues_in_the_live_process(tmp_path: Path) -> None:
    """With system prompt and stop sequences; each turn is one call."""
    async with gateway_client(tmp_path) as (running, client):
        first = await client.messages.create(
            model=PLAIN, max_tokens=1000, messages=ASK, system="Be brief.", stop_sequences=["END"]
        )
        messages: list[MessageParam] = [*ASK, {"role": "assistant", "content": first.content}, *ASK]
        raw = await client.messages.with_raw_response.create(
            model=PLAIN, max_tokens=1000, messages=messages, system="Be brief.", stop_sequences=["END"]
        )
        calls = running.simulator.calls
    assert text_of(first) == text_of(await raw.parse()) == "PONG"
    assert raw.headers["x-dragoman-path"] == "live"
    assert json.loads(raw.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "anthropic-version"}]
    assert len(calls) == 2
    assert calls[1].body["stop_sequences"] == ["END"]
    assert len(calls[1].body["messages"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [PLAIN, NEW])
async def test_tool_call_with_thinking(tmp_path: Path, model: str) -> None:
    """Streamed; its result goes to the live process. The same conversation can be replayed."""
    async with gateway_client(tmp_path) as (running, client):
        request: dict[str, object] = {"model": model, "max_tokens": 2000, "tools": [WEATHER]}
        request["thinking"] = {"type": "adaptive", "display": "summarized"}
        async with client.messages.stream(messages=[CALL], **request) as stream:  # type: ignore[arg-type]
            first = await stream.get_final_message()
        use = next(block for block in first.content if block.type == "tool_use")
        back: list[MessageParam] = [
            CALL,
            {"role": "assistant", "content": first.content},
            tool_result(use.id, "21 deg"),
        ]
        parked = await client.messages.with_raw_response.create(messages=back, **request)  # type: ignore[call-overload]
        replayed = await client.messages.with_raw_response.create(messages=back, **request)  # type: ignore[call-overload]
        thinking = [block for block in first.content if block.type == "thinking"]
        sent = json.dumps(running.simulator.calls[-1].body["messages"])
    assert use.input == {"city": "Paris"}
    assert "21" in text_of(await parked.parse())
    assert "21" in text_of(await replayed.parse())
    assert [raw.headers["x-dragoman-path"] == "live" for raw in (parked, replayed)] == [True, False]
    assert thinking
    assert all(json.dumps(block.signature) in sent for block in thinking)


async def test_unknown_fields_and_betas_reach_the_api(tmp_path: Path) -> None:
    """Those that the runtime cannot pass on cause a warning."""
    async with gateway_client(tmp_path) as (running, client):
        raw = await client.beta.messages.with_raw_response.create(
            model=PLAIN,
            max_tokens=1000,
            messages=BETA_ASK,
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            metadata={"user_id": "someone"},
            service_tier="auto",
            betas=["beta-of-tomorrow-2027-01-01"],
        )
        [call] = running.simulator.calls
    assert call.body["service_tier"] == "auto"
    assert "beta-of-tomorrow-2027-01-01" in call.headers["anthropic-beta"].split(",")
    warned_fields = {warning["param"] for warning in json.loads(raw.headers["x-dragoman-warnings"])}
    assert warned_fields == {"cache_control", "metadata", "anthropic-version"}


async def test_turn_with_other_betas_uses_another_process(tmp_path: Path) -> None:
    """The live process would send the betas of the turn before."""
    async with gateway_client(tmp_path) as (running, client):
        first = await client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)
        messages = [*ASK, {"role": "assistant", "content": first.to_dict()["content"]}, *ASK]
        await client.beta.messages.create(model=PLAIN, max_tokens=1000, messages=messages, betas=["x-2027-01-01"])  # type: ignore[arg-type]
        assert "x-2027-01-01" in running.simulator.calls[-1].headers["anthropic-beta"]


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
async def test_tokens_are_counted_by_the_api(tmp_path: Path, version: str) -> None:
    """With tools; the model is not called."""
    async with gateway_client(tmp_path) as (running, client):
        counted = await client.messages.count_tokens(
            model="opus",
            messages=ASK,
            tools=[WEATHER],
            system="Be brief.",
            extra_headers={"anthropic-version": version},
        )
        bare = await client.messages.count_tokens(model="opus", messages=ASK)
        [first, _] = running.simulator.received
        assert not running.simulator.calls
    assert counted.input_tokens > bare.input_tokens > 0
    assert first.body == {"model": "claude-opus-5-5", "messages": ASK, "tools": [WEATHER], "system": "Be brief."}


async def test_count_tokens_errors(tmp_path: Path) -> None:
    """Errors of the API are passed on; with a sign-in alone tokens cannot be counted."""
    async with gateway_client(tmp_path) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match=r"tools\.0"):
            await client.messages.count_tokens(model=PLAIN, messages=ASK, tools=[{"name": "no schema"}])  # type: ignore[list-item]
    async with gateway_client(tmp_path, signed_in=True) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match="API key only"):
            await client.messages.count_tokens(model=PLAIN, messages=ASK)


@pytest.mark.parametrize(
    ("status", "exception"),
    [(400, anthropic.BadRequestError), (402, anthropic.PaymentRequiredError), (529, anthropic.OverloadedError)],
)
async def test_api_errors(tmp_path: Path, status: int, exception: type[Exception]) -> None:
    """The client raises the same errors as without the gateway."""
    async with gateway_client(tmp_path) as (running, client):
        running.simulator.inject(Fault(status=status), times=10)
        with pytest.raises(exception):
            await client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)


async def test_empty_message_is_refused(tmp_path: Path) -> None:
    """The error names the message; no process is asked."""
    async with gateway_client(tmp_path) as (running, client):
        contents: tuple[Literal[""], list[TextBlockParam]] = ("", [])
        for content in contents:
            with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]"):
                await client.messages.create(
                    model=PLAIN, max_tokens=1000, messages=[{"role": "user", "content": content}]
                )
        assert not running.simulator.calls


async def test_synchronous_client(tmp_path: Path) -> None:
    """The client for programs without an event loop."""
    async with gateway(tmp_path) as running:

        def ask() -> list[str]:
            with Anthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client:
                message = client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)
                with client.messages.stream(model=PLAIN, max_tokens=1000, messages=ASK) as stream:
                    return [text_of(message), "".join(stream.text_stream)]

        assert await asyncio.to_thread(ask) == ["PONG", "PONG"]
