"""Responses through the server, with OpenAI's own client."""

import pytest
from openai.types.responses import ResponseFailedEvent
from scripted import clean, fails, opening, replies, served, text

from dragoman.core import errors

_clean = pytest.fixture(autouse=True)(clean)


async def test_response() -> None:
    """Plain and streamed, with and without `/v1`."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.openai.responses.create(model="sonnet", input="Say it")
        async with gateway.openai.responses.stream(model="sonnet", input="Say it") as stream:
            types = [event.type async for event in stream]
            final = await stream.get_final_response()
        bare = await gateway.http.post("/responses", json={"model": "sonnet", "input": "Say it"})
    assert response.output_text == final.output_text == "Hello"
    assert (types[0], types[-1]) == ("response.created", "response.completed")
    assert bare.json()["output"][0]["content"][0]["text"] == "Hello"


async def test_warnings() -> None:
    """Warnings are in the same header as in all dialects."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post("/v1/responses", json={"input": "Say it", "service_tier": "flex"})
    assert "service_tier" in response.headers["x-dragoman-warnings"]


async def test_error_in_a_stream() -> None:
    """It is in the failed response after the events of the text so far; no other event ends the stream."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hel")])
    async with served(script) as gateway:
        stream = await gateway.openai.responses.create(model="sonnet", input="Say it", stream=True)
        events = [event async for event in stream]
    assert [event.type for event in events if event.type in ("response.failed", "error")] == ["response.failed"]
    failed = events[-1]
    assert isinstance(failed, ResponseFailedEvent)
    assert failed.response.error
    assert failed.response.error.message == "Broke"
