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
from gateways import TIMEOUT, Running, gateway

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
async def claude(folder: Path, **given: object) -> AsyncIterator[tuple[Running, AsyncAnthropic]]:
    """A gateway, and the official client of it."""
    async with (
        gateway(folder, **given) as running,
        AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
    ):
        yield running, client


def result_of(call: str, words: str) -> MessageParam:
    """A tool's result."""
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": words}]}


def said(message: anthropic.types.Message) -> str:
    """All text of an answer."""
    return "".join(block.text for block in message.content if block.type == "text")


async def test_conversation(tmp_path: Path) -> None:
    """Turn after turn in the same process, with system prompt and stop sequences; each turn is one call."""
    async with claude(tmp_path) as (running, client):
        first = await client.messages.create(
            model=PLAIN, max_tokens=1000, messages=ASK, system="Be brief.", stop_sequences=["END"]
        )
        messages: list[MessageParam] = [*ASK, {"role": "assistant", "content": first.content}, *ASK]
        raw = await client.messages.with_raw_response.create(
            model=PLAIN, max_tokens=1000, messages=messages, system="Be brief.", stop_sequences=["END"]
        )
        calls = running.simulator.calls
    assert said(first) == said(await raw.parse()) == "PONG"
    assert raw.headers["x-dragoman-path"] == "live"
    assert json.loads(raw.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "anthropic-version"}]
    assert len(calls) == 2
    assert calls[1].body["stop_sequences"] == ["END"]
    assert len(calls[1].body["messages"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [PLAIN, NEW])
async def test_streamed_tools_with_thinking(tmp_path: Path, model: str) -> None:
    """Thinking, a streamed call, and its result into the parked process; then the same conversation replayed."""
    async with claude(tmp_path) as (running, client):
        asked: dict[str, object] = {"model": model, "max_tokens": 2000, "tools": [WEATHER]}
        asked["thinking"] = {"type": "adaptive", "display": "summarized"}
        async with client.messages.stream(messages=[CALL], **asked) as stream:  # type: ignore[arg-type]
            first = await stream.get_final_message()
        use = next(block for block in first.content if block.type == "tool_use")
        back: list[MessageParam] = [CALL, {"role": "assistant", "content": first.content}, result_of(use.id, "21 deg")]
        parked = await client.messages.with_raw_response.create(messages=back, **asked)  # type: ignore[call-overload]
        replayed = await client.messages.with_raw_response.create(messages=back, **asked)  # type: ignore[call-overload]
        thoughts = [block for block in first.content if block.type == "thinking"]
        sent = json.dumps(running.simulator.calls[-1].body["messages"])
    assert use.input == {"city": "Paris"}
    assert "21" in said(await parked.parse())
    assert "21" in said(await replayed.parse())
    assert [raw.headers["x-dragoman-path"] == "live" for raw in (parked, replayed)] == [True, False]
    assert thoughts
    assert all(json.dumps(thought.signature) in sent for thought in thoughts)


async def test_what_the_runtime_passes_on(tmp_path: Path) -> None:
    """Betas and fields unknown to the gateway reach the API; what cannot is named."""
    async with claude(tmp_path) as (running, client):
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
    warned = {warning["param"] for warning in json.loads(raw.headers["x-dragoman-warnings"])}
    assert warned == {"cache_control", "metadata", "anthropic-version"}


async def test_betas_of_a_turn(tmp_path: Path) -> None:
    """A turn with other betas is not given to a process that would ask with those of before."""
    async with claude(tmp_path) as (running, client):
        first = await client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)
        messages = [*ASK, {"role": "assistant", "content": first.to_dict()["content"]}, *ASK]
        await client.beta.messages.create(model=PLAIN, max_tokens=1000, messages=messages, betas=["x-2027-01-01"])  # type: ignore[arg-type]
        assert "x-2027-01-01" in running.simulator.calls[-1].headers["anthropic-beta"]


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
async def test_count_tokens(tmp_path: Path, version: str) -> None:
    """The API itself counts, tools and all; nothing is asked of the model."""
    async with claude(tmp_path) as (running, client):
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


async def test_count_refused(tmp_path: Path) -> None:
    """What the API refuses to count is refused; with a sign-in alone there is nobody to ask."""
    async with claude(tmp_path) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match=r"tools\.0"):
            await client.messages.count_tokens(model=PLAIN, messages=ASK, tools=[{"name": "no schema"}])  # type: ignore[list-item]
    async with claude(tmp_path, signed_in=True) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match="API key only"):
            await client.messages.count_tokens(model=PLAIN, messages=ASK)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (402, anthropic.PaymentRequiredError),
        (403, anthropic.PermissionDeniedError),
        (429, anthropic.RateLimitError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_failures_of_the_api(tmp_path: Path, status: int, raised: type[Exception]) -> None:
    """The client raises what it would raise without a gateway in between."""
    async with claude(tmp_path) as (running, client):
        running.simulator.inject(Fault(status=status), times=10)
        with pytest.raises(raised):
            await client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)


async def test_empty_messages(tmp_path: Path) -> None:
    """A message without content is refused by name, before a process is asked."""
    async with claude(tmp_path) as (running, client):
        contents: tuple[Literal[""], list[TextBlockParam]] = ("", [])
        for content in contents:
            with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]"):
                await client.messages.create(
                    model=PLAIN, max_tokens=1000, messages=[{"role": "user", "content": content}]
                )
        assert not running.simulator.calls


async def test_blocking_client(tmp_path: Path) -> None:
    """The client for programs without an event loop."""
    async with gateway(tmp_path) as running:

        def ask() -> list[str]:
            with Anthropic(base_url=running.url, api_key="none", max_retries=0, timeout=TIMEOUT) as client:
                made = client.messages.create(model=PLAIN, max_tokens=1000, messages=ASK)
                with client.messages.stream(model=PLAIN, max_tokens=1000, messages=ASK) as stream:
                    return [said(made), "".join(stream.text_stream)]

        assert await asyncio.to_thread(ask) == ["PONG", "PONG"]
