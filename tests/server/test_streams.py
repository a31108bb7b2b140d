"""Streams: errors in them, silence, clients that leave, a gateway that stops, answers that start over."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable

import pytest
from openai import APIError, AsyncStream
from openai.types.chat import ChatCompletionChunk
from scripted import MESSAGES, clean, ending, fails, hangs, opening, served, text

from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.events import Event, Restarted, Started

_clean = pytest.fixture(autouse=True)(clean)


async def read(stream: AsyncStream[ChatCompletionChunk], on_text: Callable[[str], object]) -> None:
    """Read a stream to its end and hand on each piece of text."""
    async for chunk in stream:
        on_text(chunk.choices[0].delta.content or "")


async def test_error_in_a_stream() -> None:
    """After the first words an error is an event that the client raises on."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hel")])
    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        said: list[str] = []
        with pytest.raises(APIError, match="Broke"):
            await read(stream, said.append)
    assert "".join(said) == "Hel"


async def test_heartbeats() -> None:
    """Silence before and in an answer is filled with comments, which clients skip."""
    go_on = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        await go_on.wait()
        for event in (*opening(), text("Hello"), *ending()):
            yield event

    async with (
        served(script, heartbeat=0.01) as gateway,
        gateway.http.stream("POST", "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}) as answer,
    ):
        lines = []
        async for line in answer.aiter_lines():
            lines.append(line)
            if sum(seen.startswith(":") for seen in lines) == 3:
                go_on.set()
    assert answer.status_code == 200
    assert lines[0].startswith(":")
    assert "data: [DONE]" in lines


async def test_failure_after_heartbeats_is_an_event() -> None:
    """Once the status is out, a failure can only be said in the stream."""
    go_on = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        yield Started("cold")
        await go_on.wait()
        raise errors.Overloaded("Busy")

    async with (
        served(script, heartbeat=0.01) as gateway,
        gateway.http.stream("POST", "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}) as answer,
    ):
        lines = []
        async for line in answer.aiter_lines():
            go_on.set()
            lines.append(line)
    errors_said = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert errors_said[-1]["error"]["code"] == "overloaded"


@pytest.mark.parametrize("stream", [False, True])
async def test_client_gone_ends_the_run(*, stream: bool) -> None:
    """A client that leaves takes its run with it, also before the first word."""
    async with served(hangs(after=opening() if stream else ())) as gateway:
        asking = asyncio.create_task(
            gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "stream": stream})
        )
        await gateway.backend.started.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(gateway.backend.ended.wait(), 10)


async def test_client_gone_from_the_queue_frees_its_place() -> None:
    """A run that waits is given up too."""
    async with served(hangs(), max_concurrency=1) as gateway:
        body = {"messages": MESSAGES}
        first = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=body))
        await gateway.backend.started.wait()
        second = asyncio.create_task(gateway.http.post("/v1/chat/completions", json=body))
        while (await gateway.http.get("/health/ready")).json()["runs"]["queued"] == 0:
            pass
        second.cancel()
        while (await gateway.http.get("/health/ready")).json()["runs"]["queued"] == 1:
            pass
        first.cancel()
        await asyncio.wait([first, second])


async def test_shutdown_ends_a_stream_in_words() -> None:
    """When the gateway stops, a stream ends with an error event instead of being cut."""
    script = hangs(after=[*opening(), text("Hel")])
    async with served(script, shutdown_grace=0.0) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="stopped"):
            await read(stream, lambda _: gateway.server.stop())


async def test_second_signal_ends_the_grace() -> None:
    """Who asks twice does not want to wait; the client is still told."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel")):
            yield event
        gateway.server.stop()
        gateway.server.stop()
        await asyncio.Event().wait()

    async with served(script, shutdown_grace=600.0) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="stopped"):
            await read(stream, str)


async def test_shutdown_lets_an_answer_end() -> None:
    """What runs may finish within the grace."""
    go_on = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in opening():
            yield event
        await go_on.wait()
        for event in (text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        said = ""
        async for chunk in stream:
            gateway.server.stop()
            go_on.set()
            said += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert said == "Hello"


async def test_restart_before_anything_was_said() -> None:
    """An answer that starts over unseen is said once."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel"), Restarted(), *opening()[1:], text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        made = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES)
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert made.choices[0].message.content == "Hello"
    assert said == "Hello"


async def test_restart_in_mid_answer_is_an_error_in_a_stream() -> None:
    """Never the same text twice."""
    go_on = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel")):
            yield event
        await go_on.wait()
        for event in (Restarted(), *opening()[1:], text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="broke off"):
            await read(stream, lambda _: go_on.set())
