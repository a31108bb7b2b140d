"""Thinking that clients send back themselves, where the API refuses it; judged by the simulated API's own rules."""

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
    """An engine that keeps no thinking, on a simulated API."""
    async with Simulator() as simulator:
        backend = AnthropicBackend(AnthropicOptions(api_key="sk-ant-dummy", base_url=simulator.url, retries=0))
        engine = Engine(backend, Limits())
        try:
            yield engine, simulator
        finally:
            await engine.aclose(0)
            await backend.aclose()


def user(words: str) -> Message:
    """A user message."""
    return Message(role="user", content=[{"type": "text", "text": words}])


async def ask(engine: Engine, *messages: Message) -> tuple[FinalMessage, Run]:
    """The answer, and the run that gave it."""
    body = cast("MessagesRequest", {"model": MODEL.id, "messages": [*messages]})
    run = engine.submit(body, MODEL, client="me")
    await run.wait()
    return run.result().message, run


async def test_thinking_of_a_changed_conversation_is_left_out_and_said() -> None:
    """The client that edited its first message gets an answer, and a warning with it."""
    async with gateway() as (engine, simulator):
        first, _ = await ask(engine, user("Think: hello"))
        assert any(block["type"] == "thinking" for block in first["content"])
        whole = Message(role="assistant", content=first["content"])
        _, run = await ask(engine, user("Think: good morning"), whole, user("And now?"))
        assert [warning.code for warning in run.warnings] == ["left_out"]
        *_, refused, taken = [call.body for call in simulator.calls]
        assert "thinking" in str(refused["messages"])
        assert "signature" not in str(taken["messages"])


async def test_thinking_in_its_place_stays() -> None:
    """One call, and nothing to be said."""
    async with gateway() as (engine, simulator):
        first, _ = await ask(engine, user("Think: hello"))
        whole = Message(role="assistant", content=first["content"])
        _, run = await ask(engine, user("Think: hello"), whole, user("And now?"))
        assert run.warnings == ()
        assert len(simulator.calls) == 2


async def test_other_refusals_are_told() -> None:
    """And asked once."""
    async with gateway() as (engine, simulator):
        simulator.inject(Fault(status=400, message="something is off"))
        with pytest.raises(InvalidRequest, match="something is off"):
            await ask(engine, user("Think: hello"))
        assert len(simulator.calls) == 1
