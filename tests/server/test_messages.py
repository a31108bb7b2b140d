"""`/v1/messages` through the server: the official Anthropic client, raw streams, and everybody's errors."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
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
from dragoman.core.messages import JSONObject, as_sent

ASK: list[MessageParam] = [{"role": "user", "content": "Say it"}]
BODY = {"model": "claude-opus-5", "max_tokens": 100, "messages": ASK}
VERSION = {"anthropic-version": "2023-06-01"}

_clean = pytest.fixture(autouse=True)(clean)


@asynccontextmanager
async def claude(script: Script, key: str = KEY, **settings: Any) -> AsyncIterator[tuple[Served, AsyncAnthropic]]:
    """A gateway that follows a script, and the official client of it."""
    async with (
        served(script, **settings) as gateway,
        AsyncAnthropic(base_url=gateway.url, api_key=key, max_retries=0, timeout=20) as client,
    ):
        yield gateway, client


async def test_plain() -> None:
    """The answer is Claude's own, and the request's id stands where the client looks for it."""
    async with claude(replies("It.")) as (_, client):
        made = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
    assert made._request_id is not None
    assert made._request_id.startswith("req_")
    assert made.id == "msg_1"
    assert [block.text for block in made.content if block.type == "text"] == ["It."]
    assert made.usage.output_tokens == 7


async def test_stream_is_the_plain_answer() -> None:
    """What the client puts together from a stream is what it gets without one."""
    async with claude(replies("It.")) as (_, client):
        whole = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        async with client.messages.stream(model="claude-opus-5", max_tokens=100, messages=ASK) as stream:
            assert [piece async for piece in stream.text_stream] == ["It."]
            last = await stream.get_final_message()
    assert last.to_dict(exclude_none=True) == whole.to_dict(exclude_none=True)


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_raw_stream(prefix: str) -> None:
    """Events as they came, of kinds that nobody has heard of too, each under its name."""
    delta: JSONObject = {"type": "delta_of_tomorrow", "inside": [1, None]}
    strange = BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta})
    async with served(emits_in_sequence([*opening(), strange, *ending()])) as gateway:
        answer = await gateway.http.post(f"{prefix}/messages", json={**BODY, "stream": True})
    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name.removeprefix("event: ") for name, _ in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert json.loads(events[2][1].removeprefix("data: ")) == strange.raw


async def test_terms_reach_the_backend() -> None:
    """Version, betas and unknown fields come to the backend as they were sent."""
    beta: list[BetaMessageParam] = [{"role": "user", "content": "Say it"}]
    async with claude(replies("It.")) as (gateway, client):
        await client.beta.messages.create(
            model="opus", max_tokens=100, messages=beta, betas=["a-1", "b-2"], extra_body={"field_of_tomorrow": 1}
        )
        [request] = gateway.backend.requests
    assert request.request_options.betas == ("a-1", "b-2")
    assert request.request_options.version == "2026-10-21"
    assert request.body["field_of_tomorrow"] == 1  # type: ignore[typeddict-item]
    assert request.body["model"] == "claude-opus-5-5"


async def test_a_pause_is_the_clients() -> None:
    """Who speaks this API goes on himself where it paused."""
    async with claude(emits_in_sequence([*opening(), text("So far"), *ending("pause_turn")])) as (gateway, client):
        made = await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        assert made.stop_reason == "pause_turn"
        assert len(gateway.backend.requests) == 1


async def test_thinking_is_the_clients() -> None:
    """A client of this API keeps thinking itself: what it leaves away is not put back, what it sends back goes on."""
    thought: JSONObject = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    start, first, *rest = opening()
    thinks = BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": thought})
    bare: list[MessageParam] = [*ASK, {"role": "assistant", "content": "It."}, *ASK]
    whole = [*ASK, {"role": "assistant", "content": [thought, {"type": "text", "text": "It."}]}, *ASK]
    async with served(emits([start, first, thinks, ending()[0], *rest, text("It."), *ending()])) as gateway:
        for messages in (ASK, bare, whole):
            await gateway.http.post("/v1/messages", json={**BODY, "messages": messages})
        sent = [as_sent(request.body)["messages"] for request in gateway.backend.requests]
    assert sent == [ASK, bare, whole]


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
    async with claude(fails(cause)) as (_, client):
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
        claude(script) as (_, client),
        client.messages.stream(model="claude-opus-5", max_tokens=100, messages=ASK) as stream,
    ):
        with pytest.raises(anthropic.APIStatusError, match=r"Later\."):
            await stream.get_final_message()
        assert [block.text for block in stream.current_message_snapshot.content if block.type == "text"] == ["It"]


async def test_begun_anew() -> None:
    """An answer that broke off is given anew where nobody has seen a part of it, and said twice to nobody."""
    again = [*opening(), text("It"), Retrying(1, 0, "cut"), Restarted(), *opening()[1:], text("It."), *ending()]
    async with served(emits(again)) as gateway:
        whole = await gateway.http.post("/v1/messages", json=BODY)
        stream = await gateway.http.post("/v1/messages", json={**BODY, "stream": True})
    assert whole.json()["content"] == [{"type": "text", "text": "It."}]
    assert stream.text.count('"type":"text_delta"') == 1


async def test_too_large() -> None:
    """A body over the limit is refused in this API's words."""
    async with served(replies("It."), max_request_bytes=1024) as gateway:
        answer = await gateway.http.post("/messages/count_tokens", content=b" " * 2000)
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")


async def test_heartbeat() -> None:
    """A silence is filled as the API itself fills it."""
    async with (
        served(hangs(after=opening()), heartbeat=0.05) as gateway,
        gateway.http.stream("POST", "/v1/messages", json={**BODY, "stream": True}) as answer,
    ):
        async for line in answer.aiter_lines():
            if line == "event: ping":
                break
        assert answer.status_code == 200


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
async def test_errors_of_the_door(method: str, path: str, headers: dict[str, str], status: int, kind: str) -> None:
    """Whoever speaks this API is refused in its form, wherever he asks."""
    async with served(replies("It.")) as gateway:
        answer = await gateway.http.request(method, path, headers=headers)
    assert answer.status_code == status
    body = answer.json()
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_wrong_key() -> None:
    """No key, a wrong one, and the right one in the header of this API."""
    async with claude(replies("It."), key="wrong", api_key=KEY) as (gateway, client):
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASK)
        right = await gateway.http.post("/v1/messages", json=BODY, headers={"x-api-key": KEY})
    assert right.status_code == 200


async def test_openai_clients_keep_their_form() -> None:
    """Others are refused as they are used to, and find no `request-id`."""
    async with served(replies("It.")) as gateway:
        answer = await gateway.http.get("/v1/files")
    assert answer.json()["error"]["code"] == "unknown_url"
    assert "request-id" not in answer.headers


async def test_models() -> None:
    """The official client reads the list page by page, and finds a model by its alias."""
    async with claude(replies("It.")) as (_, client):
        listed = [model.id async for model in await client.models.list(limit=5)]
        one = await client.models.retrieve("sonnet")
    assert len(listed) == len(set(listed)) > 10
    assert one.id == "claude-sonnet-5-5"
    assert one.capabilities is not None
    assert one.capabilities.thinking.types.adaptive.supported


async def test_a_backend_that_cannot_count() -> None:
    """It says so by name."""
    async with claude(replies("It.")) as (_, client):
        with pytest.raises(anthropic.BadRequestError, match="cannot count tokens"):
            await client.messages.count_tokens(model="claude-opus-5", messages=ASK)


async def test_refusal_of_the_answer() -> None:
    """A stop reason of tomorrow passes as it came."""
    delta: JSONObject = {"stop_reason": "reason_of_tomorrow", "stop_sequence": None}
    stop = MessageDelta({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}, "beside": {"a": 1}})
    async with served(emits_in_sequence([*opening(), ending()[0], stop, ending()[2]])) as gateway:
        answer = (await gateway.http.post("/v1/messages", json=BODY)).json()
    assert (answer["stop_reason"], answer["beside"]) == ("reason_of_tomorrow", {"a": 1})
