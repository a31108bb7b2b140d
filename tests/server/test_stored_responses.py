"""Stored responses: continued, read, listed, deleted, compacted, and completed after a disconnect."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError
from openai_spec import assert_valid
from responses_spec import assert_response
from responses_support import parse_events
from scripted import clean, emits, ending, fails, hangs, in_sequence, opening, replies, text
from stored_support import WEATHER, create_response, first_data_line, poll_until_final, served_with_store, store_path

from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event
from dragoman.core.messages import JSONObject

_clean = pytest.fixture(autouse=True)(clean)


def block(index: int, start: JSONObject, *deltas: JSONObject) -> list[Event]:
    """Return the events of one content block."""
    return [
        BlockStart(index, {"type": "content_block_start", "index": index, "content_block": start}),
        *(BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        BlockStop(index, {"type": "content_block_stop", "index": index}),
    ]


def tool_call(model: str = "claude-sonnet-5-5") -> list[Event]:
    """Return the events of a thinking block and a call of the weather tool."""
    call: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    return [
        *opening(model)[:2],
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "S"}),
        *block(1, call, {"type": "input_json_delta", "partial_json": '{"city":"Paris"}'}),
        *ending("tool_use")[1:],
    ]


def tool_result(response: Any) -> list[Any]:
    """Return the result of a response's tool call, as input items."""
    call = next(item for item in response["output"] if item["type"] == "function_call")
    return [{"type": "function_call_output", "call_id": call["call_id"], "output": "21"}]


async def test_continue_by_previous_response_id(tmp_path: Path) -> None:
    """Claude gets tools, model and thinking as if the client had sent the whole conversation."""
    async with served_with_store(in_sequence(emits(tool_call()), replies("21 degrees")), tmp_path) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER], model="sonnet", reasoning={"effort": "low"})
        last = await create_response(gateway, tool_result(first), previous_response_id=first["id"])
    first_body, second_body = (one.body for one in gateway.backend.requests)
    assert last["previous_response_id"] == first["id"]
    assert (second_body["tools"], second_body["model"]) == (first_body["tools"], first_body["model"])
    assert second_body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "S"},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "21"}]}],
        },
    ]
    assert_response(last)


async def test_instructions_are_not_carried_over(tmp_path: Path) -> None:
    """As at OpenAI. Thinking that depends on them is dropped with a warning."""
    async with served_with_store(in_sequence(emits(tool_call()), replies("21 degrees")), tmp_path) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER], instructions="Be brief.")
        body = {"input": tool_result(first), "previous_response_id": first["id"]}
        last = await gateway.http.post("/v1/responses", json=body)
    again = gateway.backend.requests[1].body
    assert "system" not in again
    assert [block["type"] for block in again["messages"][1]["content"]] == ["tool_use"]
    assert "left_out" in last.headers["x-dragoman-warnings"]


async def test_another_model_may_continue(tmp_path: Path) -> None:
    """The first model's thinking is dropped."""
    async with served_with_store(in_sequence(emits(tool_call()), replies("21 degrees")), tmp_path) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER], model="sonnet")
        await create_response(gateway, tool_result(first), previous_response_id=first["id"], model="haiku")
    assert [block["type"] for block in gateway.backend.requests[1].body["messages"][1]["content"]] == ["tool_use"]


async def test_tool_call_needs_its_result(tmp_path: Path) -> None:
    """The error is the same as if the client had sent the call itself."""
    async with served_with_store(emits(tool_call()), tmp_path) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER])
        with pytest.raises(BadRequestError, match="toolu_1") as refusal:
            await gateway.openai.responses.create(input="Well?", previous_response_id=first["id"])
    assert refusal.value.code == "missing_tool_result"


async def test_retrieve(tmp_path: Path) -> None:
    """The body equals the first one, after a restart too. Encrypted thinking is included on request only."""
    async with served_with_store(emits(tool_call()), tmp_path) as gateway:
        response = await create_response(gateway, "Weather?", tools=[WEATHER], metadata={"a": "b"})
    async with served_with_store(emits(tool_call()), tmp_path) as gateway:
        stored = (await gateway.http.get(f"/v1/responses/{response['id']}")).json()
        official = await gateway.openai.responses.retrieve(response["id"], include=["reasoning.encrypted_content"])
    assert stored == response
    assert (response["store"], response["metadata"]) == (True, {"a": "b"})
    thought = official.output[0]
    assert thought.type == "reasoning"
    assert thought.encrypted_content
    assert "encrypted_content" not in response["output"][0]


async def test_encrypted_thinking_round_trip(tmp_path: Path) -> None:
    """Thinking is sent on if all items before it are unchanged, and dropped otherwise."""
    script = in_sequence(*(emits(tool_call()) for _ in range(4)))
    include = ["reasoning.encrypted_content"]
    async with served_with_store(script, tmp_path, thinking_ttl=0) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER], store=False, include=include)
        again: list[Any] = [{"role": "user", "content": "Weather?"}, *first["output"], *tool_result(first)]
        altered = json.loads(json.dumps(again))
        altered[1]["encrypted_content"] = altered[1]["encrypted_content"][:-8] + "AAAAAAA="
        elsewhere = [{"role": "user", "content": "Rain?"}, *again[1:]]
        for given in (again, altered, elsewhere):
            await create_response(gateway, given, tools=[WEATHER], store=False)
    thought = [
        [block["type"] for block in request.body["messages"][1]["content"]] for request in gateway.backend.requests[1:]
    ]
    assert thought == [["thinking", "tool_use"], ["tool_use"], ["tool_use"]]


async def test_list_input_items(tmp_path: Path) -> None:
    """All input of the model, earlier turns included, a page at a time."""
    async with served_with_store(in_sequence(emits(tool_call()), replies("21 degrees")), tmp_path) as gateway:
        first = await create_response(gateway, "Weather?", tools=[WEATHER])
        last = await create_response(gateway, tool_result(first), previous_response_id=first["id"])
        path = f"/v1/responses/{last['id']}/input_items"
        listed = (await gateway.http.get(path, params={"order": "asc"})).json()
        newest = (await gateway.http.get(path, params={"limit": 1})).json()
        older = (await gateway.http.get(path, params={"limit": 1, "after": newest["last_id"]})).json()
        official = [item async for item in gateway.openai.responses.input_items.list(last["id"], limit=2)]
        wrong = [await gateway.http.get(path, params={name: "x"}) for name in ("limit", "order", "after")]
    types = [item["type"] for item in listed["data"]]
    assert types == ["message", "reasoning", "function_call", "function_call_output"]
    assert_valid("ResponseItemList", listed)
    assert listed["has_more"] is False
    assert ([item["type"] for item in newest["data"]], newest["has_more"]) == (["function_call_output"], True)
    assert [item["type"] for item in older["data"]] == ["function_call"]
    assert [item.type for item in official] == types[::-1]
    assert [answer.status_code for answer in wrong] == [400, 400, 404]


async def test_delete(tmp_path: Path) -> None:
    """It cannot be read or continued. A second delete is an error."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        response = await create_response(gateway)
        deleted = await gateway.http.delete(f"/v1/responses/{response['id']}")
        gone = [
            await gateway.http.get(f"/v1/responses/{response['id']}"),
            await gateway.http.delete(f"/v1/responses/{response['id']}"),
            await gateway.http.get(f"/v1/responses/{response['id']}/input_items"),
        ]
        with pytest.raises(BadRequestError) as refusal:
            await gateway.openai.responses.create(input="And?", previous_response_id=response["id"])
    assert deleted.json() == {"id": response["id"], "object": "response", "deleted": True}
    assert [answer.status_code for answer in gone] == [404, 404, 404]
    assert refusal.value.code == "previous_response_not_found"


async def test_store_false(tmp_path: Path) -> None:
    """A response with `store: false` is not stored."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        response = await create_response(gateway, store=False)
        stored = await gateway.http.get(f"/v1/responses/{response['id']}")
    assert response["store"] is False
    assert stored.status_code == 404


async def test_disconnect_with_store_completes_the_response(tmp_path: Path) -> None:
    """It is generated to its end, and can be read meanwhile by the id that the client got."""
    proceed = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await proceed.wait()
        for event in [text("lo"), *ending()]:
            yield event

    async with served_with_store(script, tmp_path) as gateway:
        body = {"input": "Say it", "store": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            [id_] = [json.loads(line[6:])["response"]["id"] async for line in first_data_line(stream)]
        while (polled := await gateway.http.get(f"/v1/responses/{id_}")).status_code != 200:
            pass
        proceed.set()
        final = await poll_until_final(gateway.http, id_)
    assert polled.json()["status"] == "in_progress"
    assert final["output"][0]["content"][0]["text"] == "Hello"


async def test_disconnect_without_store_ends_the_run(tmp_path: Path) -> None:
    """If `store` was not requested, nothing is stored."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            [id_] = [json.loads(line[6:])["response"]["id"] async for line in first_data_line(stream)]
        await gateway.backend.ended.wait()
        stored = await gateway.http.get(f"/v1/responses/{id_}")
    assert stored.status_code == 404


async def test_failed_stream_is_stored(tmp_path: Path) -> None:
    """Its client got its id, so the failed response can be read."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hel")])
    async with served_with_store(script, tmp_path) as gateway:
        stream = await gateway.http.post("/v1/responses", json={"input": "Say it", "stream": True})
        [id_, *_] = {event["response"]["id"] for event in parse_events(stream.content) if "response" in event}
        stored = (await gateway.http.get(f"/v1/responses/{id_}")).json()
        early = await gateway.http.post("/v1/responses", json={"input": "Say it", "stream": True})
    assert (stored["status"], stored["error"]["message"]) == ("failed", "Broke")
    assert early.status_code == 200


async def test_early_failure_is_a_plain_error(tmp_path: Path) -> None:
    """Streamed or not."""
    async with served_with_store(fails(errors.Overloaded("Busy")), tmp_path) as gateway:
        for stream in (True, False):
            refused = await gateway.http.post("/v1/responses", json={"input": "Say it", "stream": stream})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")


async def test_gateway_without_store(tmp_path: Path) -> None:
    """What needs the store is refused, and the error names the setting. Other requests work."""
    async with served_with_store(replies("Hello"), tmp_path, store=False) as gateway:
        response = await create_response(gateway)
        fields_by_param: dict[str, dict[str, object]] = {
            "previous_response_id": {"previous_response_id": "resp_1"},
            "background": {"background": True},
            "store": {"store": True},
        }
        for param, fields in fields_by_param.items():
            refused = await gateway.http.post("/v1/responses", json={"input": "?", **fields})
            error = refused.json()["error"]
            assert (refused.status_code, error["param"], error["code"]) == (400, param, "unsupported_parameter")
            assert "--no-store" in error["message"]
        for method, path in (
            ("GET", "/v1/responses/resp_1"),
            ("DELETE", "/v1/responses/resp_1"),
            ("GET", "/v1/responses/resp_1/input_items"),
            ("POST", "/v1/responses/resp_1/cancel"),
            ("GET", "/v1/chat/completions"),
            ("DELETE", "/v1/chat/completions/chatcmpl-1"),
        ):
            refused = await gateway.http.request(method, path)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "nothing_kept")
    assert response["store"] is False
    assert not (store_path(tmp_path)).exists()


async def test_store_failure_fails_no_response(tmp_path: Path) -> None:
    """The client gets a warning. What needs the store is a 503."""
    (store_path(tmp_path)).mkdir(parents=True)
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        response = await gateway.http.post("/v1/responses", json={"input": "Say it"})
        later = await gateway.http.post("/v1/responses", json={"input": "Say it", "background": True})
        back = await gateway.http.get("/v1/responses/resp_1")
    assert response.status_code == 200
    assert "not_kept" in response.headers["x-dragoman-warnings"]
    assert [(one.status_code, one.json()["error"]["code"]) for one in (later, back)] == [(503, "store_failed")] * 2


async def test_count_input_tokens(tmp_path: Path) -> None:
    """A backend that cannot count returns an error."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        refused = await gateway.http.post("/v1/responses/input_tokens", json={"input": "Say it"})
    assert refused.json()["error"]["code"] == "cannot_count"


async def test_compact(tmp_path: Path) -> None:
    """Claude summarizes the conversation. The encrypted summary replaces the conversation in later requests."""
    script = in_sequence(replies("Blue is wanted."), replies("A summary"), replies("Blue"))
    async with served_with_store(script, tmp_path) as gateway:
        rule = {"role": "developer", "content": "Be brief."}
        first = await create_response(gateway, [{"role": "user", "content": "Remember blue."}, rule])
        body = {"model": "sonnet", "previous_response_id": first["id"], "instructions": "Be exact."}
        compacted = (await gateway.http.post("/v1/responses/compact", json=body)).json()
        items = [*compacted["output"], {"role": "user", "content": "Which color?"}]
        await create_response(gateway, items)
        items[1] = {**items[1], "encrypted_content": "AAAA"}
        forged = await gateway.http.post("/v1/responses", json={"input": items})
        stored = await gateway.http.get(f"/v1/responses/{compacted['id']}")
    assert_valid("CompactResource", compacted)
    assert [item["type"] for item in compacted["output"]] == ["message", "compaction"]
    _, summing, last = (one.body for one in gateway.backend.requests)
    assert "summary" in str(summing["messages"][-1]["content"])
    assert summing["system"][0]["text"] == "Be exact."
    assert "A summary" in str(last["messages"][0]["content"])
    assert "Be brief." in str(last["system"])
    assert forged.json()["error"]["param"] == "input[1].encrypted_content"
    assert stored.status_code == 404
