"""Streams: errors, heartbeats, disconnects, shutdown, and restarted messages."""

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


async def read_text(stream: AsyncStream[ChatCompletionChunk], on_text: Callable[[str], object]) -> None:
    """Read a stream to its end, and pass on each piece of text."""
    async for chunk in stream:
        on_text(chunk.choices[0].delta.content or "")


async def test_error_in_a_stream() -> None:
    """After the first text an error is an event that the client raises."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hel")])
    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        received: list[str] = []
        with pytest.raises(APIError, match="Broke"):
            await read_text(stream, received.append)
    assert "".join(received) == "Hel"


async def test_heartbeats() -> None:
    """Silence before and within a response is filled with comments, which clients skip."""
    proceed = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        await proceed.wait()
        for event in (*opening(), text("Hello"), *ending()):
            yield event

    async with (
        served(script, heartbeat=0.01) as gateway,
        gateway.http.stream("POST", "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}) as response,
    ):
        lines = []
        async for line in response.aiter_lines():
            lines.append(line)
            if sum(seen.startswith(":") for seen in lines) == 3:
                proceed.set()
    assert response.status_code == 200
    assert lines[0].startswith(":")
    assert "data: [DONE]" in lines


async def test_nothing_follows_the_last_event() -> None:
    """A run may still store something then. Another stream shows that this took several heartbeats."""
    has_ended, proceed = asyncio.Event(), asyncio.Event()

    async def script(request: RunRequest) -> AsyncGenerator[Event, None]:
        is_silent = request.body["max_tokens"] == 1
        if not is_silent:
            for event in (*opening(), text("Hello"), *ending()):
                yield event
            has_ended.set()
        await proceed.wait()
        if is_silent:
            for event in (*opening(), *ending()):
                yield event

    body = {"model": "sonnet", "messages": MESSAGES, "stream": True}
    async with served(script, heartbeat=0.01) as gateway:

        async def read(max_tokens: int, until: int) -> str:
            lines = []
            request = {**body, "max_tokens": max_tokens}
            async with gateway.http.stream("POST", "/v1/messages", json=request) as response:
                async for line in response.aiter_lines():
                    lines.append(line)
                    if lines.count("event: ping") == until:
                        proceed.set()
            return "\n".join(lines)

        first = asyncio.create_task(read(2, -1))
        await has_ended.wait()
        await read(1, 5)
        received = await first
    assert received.rstrip().endswith('{"type":"message_stop"}')


async def test_failure_after_heartbeats_is_an_event() -> None:
    """Once the status is sent, a failure can only be an event."""
    proceed = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        yield Started("cold")
        await proceed.wait()
        raise errors.Overloaded("Busy")

    async with (
        served(script, heartbeat=0.01) as gateway,
        gateway.http.stream("POST", "/v1/chat/completions", json={"messages": MESSAGES, "stream": True}) as response,
    ):
        lines = []
        async for line in response.aiter_lines():
            proceed.set()
            lines.append(line)
    sent_errors = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert sent_errors[-1]["error"]["code"] == "overloaded"


@pytest.mark.parametrize("stream", [False, True])
async def test_disconnect_ends_the_run(*, stream: bool) -> None:
    """A disconnect ends the run, also before the first text."""
    async with served(hangs(after=opening() if stream else ())) as gateway:
        task = asyncio.create_task(
            gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "stream": stream})
        )
        await gateway.backend.started.wait()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(gateway.backend.ended.wait(), 300)


async def test_disconnect_in_the_queue() -> None:
    """A queued run is removed too."""
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


async def test_shutdown_ends_a_stream_with_an_error() -> None:
    """The stream ends with an error event instead of a cut connection."""
    script = hangs(after=[*opening(), text("Hel")])
    async with served(script, shutdown_grace=0.0) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="stopped"):
            await read_text(stream, lambda _: gateway.server.stop())


async def test_second_signal_ends_the_grace() -> None:
    """A second stop does not wait. The client still gets the error event."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel")):
            yield event
        gateway.server.stop()
        gateway.server.stop()
        await asyncio.Event().wait()

    async with served(script, shutdown_grace=600.0) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="stopped"):
            await read_text(stream, str)


async def test_shutdown_lets_a_response_end() -> None:
    """Running requests may finish within the grace."""
    proceed = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in opening():
            yield event
        await proceed.wait()
        for event in (text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        received = ""
        async for chunk in stream:
            gateway.server.stop()
            proceed.set()
            received += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert received == "Hello"


async def test_restart_before_the_first_chunk() -> None:
    """A message that starts over before the client saw it is sent once."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel"), Restarted(), *opening()[1:], text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        completion = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES)
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        received = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert completion.choices[0].message.content == "Hello"
    assert received == "Hello"


async def test_restart_after_the_first_chunk() -> None:
    """The stream ends with an error: it never sends the same text twice."""
    proceed = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (*opening(), text("Hel")):
            yield event
        await proceed.wait()
        for event in (Restarted(), *opening()[1:], text("Hello"), *ending()):
            yield event

    async with served(script) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        with pytest.raises(APIError, match="broke off"):
            await read_text(stream, lambda _: proceed.set())
