"""Questions and answers through a real server and the official client."""

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


async def test_plain_answer() -> None:
    """The whole answer, its usage, and the headers that tell about it."""
    async with served(replies("Hello"), requests_per_minute=60) as gateway:
        raw = await gateway.openai.chat.completions.with_raw_response.create(model="sonnet", messages=MESSAGES)
        made = raw.parse()
    assert made.choices[0].message.content == "Hello"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.total_tokens == 12
    assert raw.headers["x-dragoman-run-id"].startswith("run_")
    assert raw.headers["x-dragoman-path"] == "warm"
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-ratelimit-limit-requests"] == "60"
    assert raw.headers["x-ratelimit-remaining-requests"] == "59"
    assert {part.split(";")[0] for part in raw.headers["server-timing"].split(", ")} >= {"queue", "process"}


async def test_streamed_answer_equals_the_plain_one() -> None:
    """The same words come in pieces, with the usage at the end where it was asked for."""
    async with served(replies("Hello")) as gateway:
        stream = await gateway.openai.chat.completions.create(
            model="sonnet", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    assert chunks[-1].usage is not None
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_without_v1() -> None:
    """People paste base URLs both ways."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.post("/chat/completions", json={"messages": MESSAGES})
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"


async def test_several_choices() -> None:
    """Each has its own run; a plain answer and a stream hold them all."""
    async with served(replies("Hello")) as gateway:
        made = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=3)
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, n=2, stream=True)
        streamed = {chunk.choices[0].index async for chunk in stream if chunk.choices}
    assert [choice.message.content for choice in made.choices] == ["Hello"] * 3
    assert streamed == {0, 1}
    assert len(gateway.backend.requests) == 5


async def test_one_failed_choice_ends_the_others() -> None:
    """Nothing goes on for an answer that cannot be given."""
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


async def test_choices_past_the_queue_leave_nothing_behind() -> None:
    """Where only some of the runs find a place, those are ended too."""
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
async def test_errors_before_the_answer(error: Exception, status: int, kind: str, code: str, *, stream: bool) -> None:
    """Each cause has its status and body, also for a stream that has not begun."""
    async with served(fails(error, after=[Started("warm")])) as gateway:
        body = {"messages": MESSAGES, "stream": stream}
        answer = await gateway.http.post("/v1/chat/completions", json=body)
    said = answer.json()["error"]
    assert (answer.status_code, said["type"], said["code"]) == (status, kind, code)
    assert set(said) == {"message", "type", "param", "code"}
    assert "secret" not in answer.text
    if isinstance(error, GatewayError):
        assert said["message"] == error.message
        assert said["param"] == error.param
    if code == "rate_limit_exceeded":
        assert answer.headers["retry-after"] == "7"
    if code == "insufficient_quota":
        assert answer.headers["x-should-retry"] == "false"


async def test_warnings_header() -> None:
    """What was ignored, here or in the backend, is told in short."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in (Started("live", {}, (RequestWarning("moved", "messages[3]", "…"),)), *opening()[1:], *ending()):
            yield event

    async with served(script) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "fancy\u2713": 1})
    warnings = json.loads(answer.headers["x-dragoman-warnings"])
    assert {"code": "moved", "param": "messages[3]"} in warnings
    assert any(warning["param"] == "fancy\u2713" for warning in warnings)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_has_the_headers_of_an_answer(*, stream: bool) -> None:
    """What was ignored may be why it failed, and the times say where it did."""
    async with served(fails(errors.Overloaded("Busy."), after=[opening()[0]])) as gateway:
        body = {"messages": MESSAGES, "seed": 1, "stream": stream}
        answer = await gateway.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 503
    assert json.loads(answer.headers["x-dragoman-warnings"]) == [{"code": "ignored", "param": "seed"}]
    assert answer.headers["x-dragoman-path"] == "warm"
    assert answer.headers["server-timing"].startswith("queue;dur=")


async def test_an_answer_without_warnings_says_so() -> None:
    """The header stands on every answer, so that nobody has to ask first whether it is there."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})
    assert answer.headers["x-dragoman-warnings"] == "[]"


async def test_unknown_model_is_looked_for_in_the_live_list() -> None:
    """A model that is newer than this gateway can be asked."""
    async with served(replies("Hello")) as gateway:
        gateway.backend.listed_models = [ListedModel("claude-opus-7", "Claude Opus 7")]
        made = await gateway.openai.chat.completions.create(model="claude-opus-7", messages=MESSAGES)
        assert made.choices[0].message.content == "Hello"
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="claude-opus-8", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


async def test_strict_parameters() -> None:
    """Where the owner wants it so, an unknown field is an error."""
    async with served(replies("Hello"), strict_parameters=True) as gateway:
        answer = await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES, "fancy": 1})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "fancy"
