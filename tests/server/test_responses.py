"""Responses through the server, with OpenAI's own client."""

from collections.abc import Callable

import pytest
from openai import APIError, AsyncStream
from openai.types.responses import ResponseStreamEvent
from scripted import clean, fails, opening, replies, served, text

from dragoman.core import errors

_clean = pytest.fixture(autouse=True)(clean)


async def test_a_question_is_answered() -> None:
    """Plain and streamed, with and without `/v1`."""
    async with served(replies("Hello")) as gateway:
        made = await gateway.openai.responses.create(model="sonnet", input="Say it")
        async with gateway.openai.responses.stream(model="sonnet", input="Say it") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        bare = await gateway.http.post("/responses", json={"model": "sonnet", "input": "Say it"})
    assert made.output_text == final.output_text == "Hello"
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert bare.json()["output"][0]["content"][0]["text"] == "Hello"


async def test_warnings_are_told() -> None:
    """In the header that all dialects have."""
    async with served(replies("Hello")) as gateway:
        made = await gateway.http.post("/v1/responses", json={"input": "Say it", "service_tier": "flex"})
    assert "service_tier" in made.headers["x-dragoman-warnings"]


async def test_an_error_in_mid_stream_is_raised_by_the_client() -> None:
    """After the events of what was said."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hel")])
    kinds: list[str] = []
    async with served(script) as gateway:
        stream = await gateway.openai.responses.create(model="sonnet", input="Say it", stream=True)
        with pytest.raises(APIError, match="Broke"):
            await _read(stream, kinds.append)
    assert kinds[-1] == "response.failed"


async def _read(stream: AsyncStream[ResponseStreamEvent], on_event: Callable[[str], object]) -> None:
    async for event in stream:
        on_event(event.type)
