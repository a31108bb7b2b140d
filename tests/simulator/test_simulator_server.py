"""The routes, the recorded requests, and the equality of streams and responses without a stream."""

from typing import Any

import httpx
import msgspec
import pytest
from simulator_support import Ask

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageDelta, MessageEvent, MessageStart
from dragoman.simulator.server import Simulator

TOOLS = [{"name": "look", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}]


def events_in(stream: str) -> list[dict[str, Any]]:
    """Return the data of each event. Its name must be its type."""
    frames = [frame.split("\n") for frame in stream.strip().split("\n\n")]
    for name, data in frames:
        assert name.removeprefix("event: ") == msgspec.json.decode(data.removeprefix("data: "))["type"]
    return [msgspec.json.decode(data.removeprefix("data: ")) for _, data in frames]


def event_of(raw: dict[str, Any]) -> list[MessageEvent]:
    """Return the event as `accumulate` takes it."""
    match raw["type"]:
        case "message_start":
            return [MessageStart(raw)]
        case "content_block_start":
            return [BlockStart(raw["index"], raw)]
        case "content_block_delta":
            return [BlockDelta(raw["index"], raw)]
        case "content_block_stop":
            return [BlockStop(raw["index"], raw)]
        case "message_delta":
            return [MessageDelta(raw)]
        case _:
            return []


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        'look {"at": [1, 2, {"a": "b"}]}',
        'Search the web for "x"',
        "Simulate: redacted thinking",
        "Count to 500",
    ],
)
async def test_accumulated_stream_equals_the_plain_response(client: httpx.AsyncClient, text: str) -> None:
    """Only the id differs."""
    body = {
        "model": "claude-opus-5-5",
        "max_tokens": 999,
        "tools": TOOLS,
        "messages": [{"role": "user", "content": text}],
    }
    plain = (await client.post("/v1/messages", json=body)).json()
    raw = events_in((await client.post("/v1/messages", json={**body, "stream": True})).text)
    kinds = [event["type"] for event in raw]
    assert (kinds[0], kinds[1], kinds[-2], kinds[-1]) == ("message_start", "ping", "message_delta", "message_stop")
    accumulated = accumulate([event for one in raw for event in event_of(one)]).message
    assert {**accumulated, "id": None} == {**plain, "id": None}


async def test_requests_are_recorded(simulator: Simulator, ask: Ask, client: httpx.AsyncClient) -> None:
    """Path, headers, body and status are recorded. Counts and probes are not calls."""
    await ask("Hello")
    await ask("Hi", max_tokens=1)
    await ask("Hello", path="/v1/messages/count_tokens", max_tokens=1)
    assert [received.path for received in simulator.received] == ["/v1/messages"] * 2 + ["/v1/messages/count_tokens"]
    (call,) = simulator.calls
    assert (call.status, call.finished, call.headers["x-api-key"]) == (200, True, "sk-test")
    assert call.body["model"] == "claude-sonnet-4-5"
    simulator.clear()
    assert simulator.received == []
    listed = (await client.get("/_simulator/received")).json()
    assert listed == []


async def test_control_over_http(client: httpx.AsyncClient, ask: Ask) -> None:
    """Requests can inject, list, clear, hold and release."""
    fault = {"fault": {"status": 500}, "times": 1}
    assert (await client.post("/_simulator/inject", json=fault)).status_code == 204
    assert (await ask("Hello"))["type"] == "error"
    received = (await client.get("/_simulator/received")).json()
    assert [(one["status"], one["body"]["model"]) for one in received] == [(500, "claude-sonnet-4-5")]
    assert (await client.delete("/_simulator/received")).status_code == 204
    assert (await client.post("/_simulator/inject", json={"fault": {"statum": 5}})).status_code == 400
    assert (await client.post("/_simulator/hold")).status_code == 204
    assert (await client.post("/_simulator/release")).status_code == 204
    assert (await client.post("/_simulator/dance")).status_code == 404


async def test_models_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    """Models are listed forward and backward, and one by one."""
    first = (await client.get("/v1/models", params={"limit": 5})).json()
    assert (len(first["data"]), first["has_more"], first["first_id"]) == (5, True, MODELS[0].id)
    rest = (await client.get("/v1/models", params={"limit": 100, "after_id": first["last_id"]})).json()
    assert [m["id"] for m in first["data"] + rest["data"]] == [model.id for model in MODELS]
    assert not rest["has_more"]
    back = (await client.get("/v1/models", params={"limit": 2, "before_id": first["last_id"]})).json()
    assert [m["id"] for m in back["data"]] == [model.id for model in MODELS[2:4]]
    one = (await client.get(f"/v1/models/{MODELS[0].id}")).json()
    assert one["capabilities"]["thinking"]["types"]["disabled"] == {"supported": False}
    assert (await client.get("/v1/models/nothing")).json()["error"]["type"] == "not_found_error"
    assert (await client.get("/v1/models", params={"limit": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/api/x", 404), ("GET", "/v1/messages", 405)]
)
async def test_unknown_paths_and_methods(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """An unknown path or method is an error in the API's format."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, "error")


async def test_tokens_are_counted(ask: Ask) -> None:
    """The count equals the input tokens of a message."""
    counted: Any = await ask("Hello there", path="/v1/messages/count_tokens")
    message: Any = await ask("Hello there")
    assert counted["input_tokens"] > 2
    assert abs(counted["input_tokens"] - message["usage"]["input_tokens"]) <= 4


async def test_response_headers(client: httpx.AsyncClient) -> None:
    """Every response has a request id, the organization and rate limits."""
    answer = await client.post("/v1/messages", json={})
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["anthropic-organization-id"]
    assert answer.headers["anthropic-ratelimit-requests-limit"]
