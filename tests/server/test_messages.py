"""`/v1/messages`: the official Anthropic client, raw streams, and errors in Anthropic's form."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import msgspec
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam
from anthropic.types.beta import BetaMessageParam
from scripted import (
    KEY,
    Script,
    Served,
    clean,
    emits,
    emits_in_sequence,
    ending,
    fails,
    hangs,
    opening,
    replies,
    served,
    text,
)

from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.events import BlockDelta, BlockStart, Event, MessageDelta, Restarted, Retrying
from dragoman.core.known_message import as_sent
from dragoman.core.messages import JSONObject

ASK: list[MessageParam] = [{"role": "user", "content": "Say it"}]
BODY = {"model": "claude-opus-5", "max_tokens": 100, "messages": ASK}
VERSION = {"anthropic-version": "2023-06-01"}

_clean = pytest.fixture(autouse=True)(clean)


@asynccontextmanager
async def serve_anthropic(
    script: Script, key: str = KEY, **settings: Any
) -> AsyncIterator[tuple[Served, AsyncAnthropic]]:
    """Serve a gateway that follows a script, with an official Anthropic client."""
    async with (
        served(script, **settings) as gateway,
        AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=0, timeout=300) as client,
    ):
        yield gateway, client


async def test_plain() -> None:
    """The response is Claude's own, and the request id is where the client reads it."""
    async with serve_anthropic(replies("It.")) as (_, client):
        message = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
    assert message._request_id is not None
    assert message._request_id.startswith("req_")
    assert message.id == "msg_1"
    assert [block.text for block in message.content if block.type == "text"] == ["It."]
    assert message.usage.output_tokens == 7


async def test_stream_equals_plain_response() -> None:
    """The client builds the same message from a stream."""
    async with serve_anthropic(replies("It.")) as (_, client):
        complete = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        async with client.messages.stream(model="claude-opus-5", max_tokens=100, messages=ASK) as stream:
            assert [piece async for piece in stream.text_stream] == ["It."]
            last = await stream.get_final_message()
    assert last.to_dict(exclude_none=True) == complete.to_dict(exclude_none=True)


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_raw_stream(prefix: str) -> None:
    """Events are passed on unchanged, unknown types too, each under its name."""
    delta: JSONObject = {"type": "delta_of_tomorrow", "inside": [1, None]}
    strange = BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta})
    async with served(emits_in_sequence([*opening(), strange, *ending()])) as gateway:
        response = await gateway.http.post(f"{prefix}/messages", json={**BODY, "stream": True})
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [name.removeprefix("event: ") for name, _ in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(events[2][1].removeprefix("data: ")) == strange.raw


async def test_request_options_reach_the_backend() -> None:
    """Version, betas and unknown fields are passed on unchanged."""
    beta_messages: list[BetaMessageParam] = [{"role": "user", "content": "Say it"}]
    async with serve_anthropic(replies("It.")) as (gateway, client):
        await client.beta.messages.create(
            model="opus",
            max_tokens=100,
            messages=beta_messages,
            betas=["a-1", "b-2"],
            extra_body={"field_of_tomorrow": 1},
        )
        [request] = gateway.backend.requests
    assert request.request_options.betas == ("a-1", "b-2")
    assert request.request_options.version == "2026-10-21"
    assert request.body["field_of_tomorrow"] == 1  # type: ignore[typeddict-item]
    assert request.body["model"] == "claude-opus-5-5"


async def test_pause_turn_is_returned() -> None:
    """The client continues after a pause, not the gateway."""
    async with serve_anthropic(emits_in_sequence([*opening(), text("So far"), *ending("pause_turn")])) as (
        gateway,
        client,
    ):
        message = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        assert message.stop_reason == "pause_turn"
        assert len(gateway.backend.requests) == 1


async def test_thinking_is_not_restored() -> None:
    """The client keeps thinking itself: omitted thinking is not restored, sent thinking is passed on."""
    thinking: JSONObject = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    start, first, *rest = opening()
    thinking_start = BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": thinking})
    without_thinking: list[MessageParam] = [*ASK, {"role": "assistant", "content": "It."}, *ASK]
    complete = [*ASK, {"role": "assistant", "content": [thinking, {"type": "text", "text": "It."}]}, *ASK]
    async with served(emits([start, first, thinking_start, ending()[0], *rest, text("It."), *ending()])) as gateway:
        for messages in (ASK, without_thinking, complete):
            await gateway.http.post("/v1/messages", json={**BODY, "messages": messages})
        sent = [
            json.loads(msgspec.json.encode(as_sent(request.body)))["messages"] for request in gateway.backend.requests
        ]
    assert sent == [ASK, without_thinking, complete]


CAUSES = [
    (errors.InvalidRequest("No."), anthropic.BadRequestError),
    (errors.ContextTooLong("The prompt is too long."), anthropic.BadRequestError),
    (errors.NotSignedIn("No."), anthropic.AuthenticationError),
    (errors.QuotaExceeded("No."), anthropic.PaymentRequiredError),
    (errors.Forbidden("No."), anthropic.PermissionDeniedError),
    (errors.NotFound("No."), anthropic.NotFoundError),
    (errors.RequestTooLarge("No."), anthropic.ContentTooLargeError),
    (errors.RateLimited("No."), anthropic.RateLimitError),
    (errors.QueueFull("No."), anthropic.RateLimitError),
    (errors.Overloaded("No."), anthropic.OverloadedError),
    (errors.UpstreamFailed("No."), anthropic.InternalServerError),
    (errors.TimedOut("No."), anthropic.GatewayTimeoutError),
    (errors.ShuttingDown("No."), anthropic.ServiceUnavailableError),
    (ValueError("secret"), anthropic.InternalServerError),
]


@pytest.mark.parametrize(("cause", "raised"), CAUSES, ids=lambda value: getattr(value, "__name__", repr(value)))
async def test_errors(cause: Exception, raised: type[anthropic.APIStatusError]) -> None:
    """The official client raises its own exception for every cause, with the request's id."""
    async with serve_anthropic(fails(cause)) as (_, client):
        with pytest.raises(raised) as caught:
            await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == caught.value.request_id
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("stream", [False, True])
async def test_clients_that_share_an_error_get_their_own_request_ids(*, stream: bool) -> None:
    """Several requests may fail with one error object. Each response has the id of its own request."""
    error = errors.Overloaded("Later.")
    all_started = asyncio.Barrier(2)

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        await all_started.wait()
        yield opening()[0]
        raise error

    ids = ["client-a", "client-b"]
    async with served(script) as gateway:
        body = {**BODY, "stream": stream}
        requests = (gateway.http.post("/v1/messages", json=body, headers={"x-request-id": id_}) for id_ in ids)
        responses = await asyncio.gather(*requests)
    assert [response.headers["request-id"] for response in responses] == ids
    assert [response.json()["request_id"] for response in responses] == ids
    assert error.request_id is None


async def test_error_in_the_stream() -> None:
    """After the headers an error is an event that the client raises on."""
    script = fails(errors.Overloaded("Later."), after=[*opening(), text("It")])
    async with (
        serve_anthropic(script) as (_, client),
        client.messages.stream(model="claude-opus-5", max_tokens=100, messages=ASK) as stream,
    ):
        with pytest.raises(anthropic.APIStatusError, match=r"Later\."):
            await stream.get_final_message()
        assert [block.text for block in stream.current_message_snapshot.content if block.type == "text"] == ["It"]


async def test_restarted_message() -> None:
    """A message that restarted before the client saw it is sent once."""
    events = [*opening(), text("It"), Retrying(1, 0, "cut"), Restarted(), *opening()[1:], text("It."), *ending()]
    async with served(emits(events)) as gateway:
        complete = await gateway.http.post("/v1/messages", json=BODY)
        stream = await gateway.http.post("/v1/messages", json={**BODY, "stream": True})
    assert complete.json()["content"] == [{"type": "text", "text": "It."}]
    assert stream.text.count('"type":"text_delta"') == 1


async def test_too_large() -> None:
    """A body over the limit is refused in this API's form."""
    async with served(replies("It."), max_request_bytes=1024) as gateway:
        response = await gateway.http.post("/messages/count_tokens", content=b" " * 2000)
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")


async def test_heartbeat() -> None:
    """Silence is filled with `ping` events, as in the API itself."""
    async with (
        served(hangs(after=opening()), heartbeat=0.05) as gateway,
        gateway.http.stream("POST", "/v1/messages", json={**BODY, "stream": True}) as response,
    ):
        async for line in response.aiter_lines():
            if line == "event: ping":
                break
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "kind"),
    [
        ("POST", "/v1/messages/batches", {}, 404, "not_found_error"),
        ("GET", "/v1/messages", {}, 405, "invalid_request_error"),
        ("GET", "/v1/files", VERSION, 404, "not_found_error"),
        ("GET", "/v1/models/gpt-4", VERSION, 404, "not_found_error"),
        ("GET", "/v1/models?limit=0", VERSION, 400, "invalid_request_error"),
        ("GET", f"/v1/models?limit={'9' * 5000}", VERSION, 400, "invalid_request_error"),
        ("POST", "/v1/messages", {"host": "evil.test"}, 403, "permission_error"),
    ],
)
async def test_middleware_errors(method: str, path: str, headers: dict[str, str], status: int, kind: str) -> None:
    """Clients of this API get errors in its form on every path."""
    async with served(replies("It.")) as gateway:
        response = await gateway.http.request(method, path, headers=headers)
    assert response.status_code == status
    body = response.json()
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]


async def test_wrong_key() -> None:
    """A wrong key is refused. The right one is accepted in this API's header."""
    async with serve_anthropic(replies("It."), key="wrong", api_key=KEY) as (gateway, client):
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        accepted_response = await gateway.http.post("/v1/messages", json=BODY, headers={"x-api-key": KEY})
    assert accepted_response.status_code == 200


async def test_openai_clients_keep_their_form() -> None:
    """Other clients get OpenAI's errors and no `request-id`."""
    async with served(replies("It.")) as gateway:
        response = await gateway.http.get("/v1/files")
    assert response.json()["error"]["code"] == "unknown_url"
    assert "request-id" not in response.headers


async def test_models() -> None:
    """The official client reads the list page by page, and finds a model by its alias."""
    async with serve_anthropic(replies("It.")) as (_, client):
        listed = [model.id async for model in await client.models.list(limit=5)]
        one = await client.models.retrieve("sonnet")
    assert len(listed) == len(set(listed)) > 10
    assert one.id == "claude-sonnet-5-5"
    assert one.capabilities is not None
    assert one.capabilities.thinking.types.adaptive.supported


async def test_backend_that_cannot_count_tokens() -> None:
    """The error names the limitation."""
    async with serve_anthropic(replies("It.")) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match="cannot count tokens"):
            await client.messages.count_tokens(model="claude-opus-5", messages=ASK)


async def test_unknown_stop_reason() -> None:
    """An unknown stop reason is passed on unchanged."""
    delta: JSONObject = {"stop_reason": "reason_of_tomorrow", "stop_sequence": None}
    stop = MessageDelta({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}, "beside": {"a": 1}})
    async with served(emits_in_sequence([*opening(), ending()[0], stop, ending()[2]])) as gateway:
        response = (await gateway.http.post("/v1/messages", json=BODY)).json()
    assert (response["stop_reason"], response["beside"]) == ("reason_of_tomorrow", {"a": 1})
