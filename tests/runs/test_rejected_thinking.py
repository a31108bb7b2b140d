"""Thinking that clients send back and the API rejects, checked by the simulated API's own rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from dragoman.backends.anthropic.backend import AnthropicBackend
from dragoman.backends.anthropic.options import AnthropicOptions
from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import FinalMessage, Message, MessagesRequest
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run
from dragoman.simulator.faults import Fault
from dragoman.simulator.server import Simulator

MODEL = Catalog().resolve("claude-opus-5-5").model


@asynccontextmanager
async def gateway() -> AsyncIterator[tuple[Engine, Simulator]]:
    """Yield an engine that stores no thinking, on a simulated API."""
    async with Simulator() as simulator:
        backend = AnthropicBackend(AnthropicOptions(api_key="sk-ant-dummy", base_url=simulator.url, retries=0))
        engine = Engine(backend, Limits())
        try:
            yield engine, simulator
        finally:
            await engine.aclose(0)
            await backend.aclose()


def user(words: str) -> Message:
    """Return a user message."""
    return Message(role="user", content=[{"type": "text", "text": words}])


async def send(engine: Engine, *messages: Message) -> tuple[FinalMessage, Run]:
    """Return the response and its run."""
    body = cast("MessagesRequest", {"model": MODEL.id, "messages": [*messages]})
    run = engine.submit(body, MODEL, client="me")
    await run.wait()
    return run.result().message, run


async def test_thinking_of_a_changed_conversation_is_left_out_with_a_warning() -> None:
    """A client that edited its first message gets a response."""
    async with gateway() as (engine, simulator):
        first, _ = await send(engine, user("Think: hello"))
        assert any(block["type"] == "thinking" for block in first["content"])
        complete = Message(role="assistant", content=first["content"])
        _, run = await send(engine, user("Think: good morning"), complete, user("And now?"))
        assert [warning.code for warning in run.warnings] == ["left_out"]
        *_, rejected, accepted = [call.body for call in simulator.calls]
        assert "thinking" in str(rejected["messages"])
        assert "signature" not in str(accepted["messages"])


async def test_valid_thinking_stays() -> None:
    """There is one call for each turn, and no warning."""
    async with gateway() as (engine, simulator):
        first, _ = await send(engine, user("Think: hello"))
        complete = Message(role="assistant", content=first["content"])
        _, run = await send(engine, user("Think: hello"), complete, user("And now?"))
        assert run.warnings == ()
        assert len(simulator.calls) == 2


async def test_other_rejections_are_raised() -> None:
    """The request is not repeated."""
    async with gateway() as (engine, simulator):
        simulator.inject(Fault(status=400, message="something is off"))
        with pytest.raises(InvalidRequest, match="something is off"):
            await send(engine, user("Think: hello"))
        assert len(simulator.calls) == 1
