"""Chat completions through a real server and the official client."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from openai import APIStatusError
from scripted import MESSAGES, clean, ending, fails, hangs, opening, replies, served

from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event, Started
from dragoman.core.model_list import ListedModel
from dragoman.core.warnings import RequestWarning

_clean = pytest.fixture(autouse=True)(clean)


async def test_plain_response() -> None:
    """The response has its text, its usage, and the headers about its run."""
    async with served(replies("Hello"), requests_per_minute=60) as gateway:
        raw = await gateway.openai.chat.completions.with_raw_response.create(model="sonnet", messages=MESSAGES)
        completion = raw.parse()
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 12
    assert raw.headers["x-dragoman-run-id"].startswith("run_")
    assert raw.headers["x-dragoman-path"] == "warm"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-ratelimit-limit-requests"] == "60"
    assert raw.headers["x-ratelimit-remaining-requests"] == "59"
    assert {part.split(";")[0] for part in raw.headers["server-timing"].split(", ")} >= {"queue", "process"}


async def test_stream_equals_plain_response() -> None:
    """The stream has the same text in pieces, and the usage at the end on request."""
    async with served(replies("Hello")) as gateway:
        stream = await gateway.openai.chat.completions.create(
            model="sonnet", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage is not None
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_without_v1() -> None:
    """Every base URL works with and without `/v1`."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.post("/chat/completions", json={"messages": MESSAGES})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"


async def test_several_choices() -> None:
    """Each choice has its own run. A plain response and a stream contain all of them."""
    async with served(replies("Hello")) as gateway:
        completion = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=3)
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=2, stream=True)
        streamed = {chunk.choices[0].index async for chunk in stream if chunk.choices}
    assert [choice.message.content for choice in completion.choices] == ["Hello"] * 3
    assert streamed == {0, 1}
    assert len(gateway.backend.requests) == 5


async def test_one_failed_choice_ends_the_others() -> None:
    """The other runs end, because the response cannot be completed."""
    first = True

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        nonlocal first
        if first:
            first = False
            await asyncio.Event().wait()
        yield Started("warm")
        raise errors.Overloaded("Busy")

    async with served(script) as gateway:
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=2)
        assert caught.value.status_code == 503
        health = (await gateway.http.get("/health/ready")).json()
    assert health["runs"] == {"running": 0, "queued": 0}


async def test_choices_beyond_the_queue_release_their_slots() -> None:
    """If only some of the runs are admitted, these are ended too."""
    async with served(hangs(), max_concurrency=1, max_queue_size=0) as gateway:
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=2)
        assert caught.value.status_code == 429
        assert caught.value.code == "queue_full"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        health = (await gateway.http.get("/health/ready")).json()
    assert health["runs"] == {"running": 0, "queued": 0}


ERRORS = [
    (errors.InvalidRequest("No", param="stop"), 400, "invalid_request_error", "invalid_value"),
    (errors.UnsupportedFeature("No", param="tools"), 400, "invalid_request_error", "unsupported_parameter"),
    (errors.ContextTooLong("Long"), 400, "invalid_request_error", "context_length_exceeded"),
    (errors.Forbidden("No"), 403, "permission_error", "permission_denied"),
    (errors.NotFound("No", code="model_not_found"), 404, "invalid_request_error", "model_not_found"),
    (errors.NotSignedIn("Sign in: dragoman login"), 401, "authentication_error", "not_signed_in"),
    (errors.QuotaExceeded("Spent"), 429, "insufficient_quota", "insufficient_quota"),
    (errors.RateLimited("Slow", retry_after=7), 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.Overloaded("Busy"), 503, "api_error", "overloaded"),
    (errors.UpstreamFailed("Broke"), 502, "api_error", "upstream_error"),
    (errors.TimedOut("Silent"), 504, "api_error", "timeout"),
    (errors.ShuttingDown("Bye"), 503, "api_error", "shutting_down"),
    (RuntimeError("/secret/path"), 500, "api_error", "internal_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status", "kind", "code"), ERRORS, ids=lambda value: str(value)[:12])
async def test_errors_before_the_response(error: Exception, status: int, kind: str, code: str, *, stream: bool) -> None:
    """Each cause has its status and body, also for a stream that has not begun."""
    async with served(fails(error, after=[Started("warm")])) as gateway:
        body = {"messages": MESSAGES, "stream": stream}
        answer = await gateway.http.post("/v1/chat/completions", json=body)
    body_error = answer.json()["error"]
    assert (answer.status_code, body_error["type"], body_error["code"]) == (status, kind, code)
    assert set(body_error) == {"message", "type", "param", "code"}
    assert "secret" not in answer.text
    if isinstance(error, GatewayError):
        assert body_error["message"] == error.message
        assert body_error["param"] == error.param
    if code == "rate_limit_exceeded":
        assert answer.headers["retry-after"] == "7"
    if code == "insufficient_quota":
        assert answer.headers["x-should-retry"] == "false"


async def test_warnings_header() -> None:
    """The header lists what was ignored, here or in the backend."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (Started("live", {}, (RequestWarning("moved", "messages[3]", "…"),)), *opening()[1:], *ending()):
            yield event

    async with served(script) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "fancy\u2713": 1})
    warnings = json.loads(answer.headers["x-dragoman-warnings"])
    assert {"code": "moved", "param": "messages[3]"} in warnings
    assert any(warning["param"] == "fancy\u2713" for warning in warnings)


@pytest.mark.parametrize("stream", [True, False])
async def test_error_has_the_headers_of_a_response(*, stream: bool) -> None:
    """An error response has warnings and timings too."""
    async with served(fails(errors.Overloaded("Busy."), after=[opening()[0]])) as gateway:
        body = {"messages": MESSAGES, "seed": 1, "stream": stream}
        answer = await gateway.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 503
    assert json.loads(answer.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "seed"}]
    assert answer.headers["x-dragoman-path"] == "warm"
    assert answer.headers["server-timing"].startswith("queue;dur=")


async def test_response_without_warnings() -> None:
    """The header is always present, with an empty list."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})
    assert answer.headers["x-dragoman-warnings"] == "[]"


async def test_unknown_model_is_looked_up_in_the_live_list() -> None:
    """A model that is newer than this gateway can be requested."""
    async with served(replies("Hello")) as gateway:
        gateway.backend.listed_models = [ListedModel("claude-opus-7", "Claude Opus 7")]
        completion = await gateway.openai.chat.completions.create(model="claude-opus-7", messages=MESSAGES)
        assert completion.choices[0].message.content == "Hello"
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="claude-opus-8", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


async def test_strict_parameters() -> None:
    """With the operator's setting an unknown field is an error."""
    async with served(replies("Hello"), strict_parameters=True) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "fancy": 1})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "fancy"
