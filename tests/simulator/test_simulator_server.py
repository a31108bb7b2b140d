"""The routes, the record of what came, and the stream's likeness to the plain answer."""

from typing import Any

import httpx
import msgspec
import pytest
from simulator_asking import Ask

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageDelta, MessageEvent, MessageStart
from dragoman.simulator.server import Simulator

TOOLS = [{"name": "look", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}]


def events_in(stream: str) -> list[dict[str, Any]]:
    """The data of each event, whose name must be its type."""
    frames = [frame.split("\n") for frame in stream.strip().split("\n\n")]
    for name, data in frames:
        assert name.removeprefix("event: ") == msgspec.json.decode(data.removeprefix("data: "))["type"]
    return [msgspec.json.decode(data.removeprefix("data: ")) for _, data in frames]


def event_of(raw: dict[str, Any]) -> list[MessageEvent]:
    """The event as the fold takes it."""
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
async def test_the_stream_folds_into_the_plain_answer(client: httpx.AsyncClient, text: str) -> None:
    """Whatever the answer; only the id differs."""
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
    folded = accumulate([event for one in raw for event in event_of(one)]).message
    assert {**folded, "id": None} == {**plain, "id": None}


async def test_requests_are_noted(simulator: Simulator, ask: Ask, client: httpx.AsyncClient) -> None:
    """Path, headers, body, status; counts and probes are no calls."""
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


async def test_the_same_over_http(client: httpx.AsyncClient, ask: Ask) -> None:
    """For users without Python: inject, look, forget, hold and release."""
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
    """Forward and backward, and one by one."""
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
async def test_other_paths_are_refused_in_shape(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """An unknown path is an API error too."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, "error")


async def test_tokens_are_counted(ask: Ask) -> None:
    """The count is what a message then costs."""
    counted: Any = await ask("Hello there", path="/v1/messages/count_tokens")
    asked: Any = await ask("Hello there")
    assert counted["input_tokens"] > 2
    assert abs(counted["input_tokens"] - asked["usage"]["input_tokens"]) <= 4


async def test_every_answer_carries_the_apis_headers(client: httpx.AsyncClient) -> None:
    """Request id, organization, rate limits."""
    answer = await client.post("/v1/messages", json={})
    assert answer.headers["request-id"].startswith("req_")
    assert answer.headers["anthropic-organization-id"]
    assert answer.headers["anthropic-ratelimit-requests-limit"]
