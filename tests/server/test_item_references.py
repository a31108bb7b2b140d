"""Items of stored responses that requests refer to, and failed responses that can be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from responses_support import parse_events
from scripted import clean, emits, fails, in_sequence, opening, replies, served, text
from stored_support import WEATHER, create_response, served_with_store
from test_stored_responses import tool_call, tool_result

from dragoman.core import errors

_clean = pytest.fixture(autouse=True)(clean)
KEYS = {"ann": {"api_key": "key-of-ann"}, "bob": {"api_key": "key-of-bob"}}


def references(response: Any) -> list[Any]:
    """Return references to all output items of a response."""
    return [{"type": "item_reference", "id": item["id"]} for item in response["output"]]


async def test_a_tool_loop_with_references(tmp_path: Path) -> None:
    """The AI SDK sends earlier reasoning and calls this way: Claude gets both as it wrote them."""
    question = {"role": "user", "content": "Weather?"}
    async with served_with_store(in_sequence(emits(tool_call()), replies("21")), tmp_path) as gateway:
        fields: Any = {"tools": [WEATHER], "model": "sonnet", "reasoning": {"effort": "low"}}
        first = await create_response(gateway, [question], **fields)
        answer = await gateway.http.post(
            "/v1/responses", json={"input": [question, *references(first), *tool_result(first)], **fields}
        )
    assert answer.headers["x-dragoman-warnings"] == "[]"
    sent = gateway.backend.requests[1].body["messages"][1]["content"]
    assert sent == [
        {"type": "thinking", "thinking": "", "signature": "S"},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
    ]


@pytest.mark.parametrize("id_", ["msg_1", "msg_" + "0" * 36, "?" * 300])
@pytest.mark.parametrize("typed", [{"type": "item_reference"}, {}])
async def test_an_unknown_item_is_not_found(tmp_path: Path, id_: str, typed: dict[str, str]) -> None:
    """The error names it; Claude is not asked."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"input": [{"role": "user", "content": "?"}, {**typed, "id": id_}]}
        refused = await gateway.http.post("/v1/responses", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "input[1].id")
    assert id_[:80] in refused.json()["error"]["message"]
    assert gateway.backend.requests == []


async def test_items_that_were_not_stored_or_were_deleted_are_not_found(tmp_path: Path) -> None:
    """Also those of a response that had `store: false`."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        unstored = await create_response(gateway, store=False)
        deleted = await create_response(gateway)
        await gateway.openai.responses.delete(deleted["id"])
        refused = [
            await gateway.http.post("/v1/responses", json={"input": [*references(response)]})
            for response in (unstored, deleted)
        ]
    assert [response.status_code for response in refused] == [404, 404]


async def test_items_of_another_key_are_not_found(tmp_path: Path) -> None:
    """Only the key that stored a response may refer to its items."""
    async with served_with_store(replies("Hello"), tmp_path, keys=KEYS) as gateway:
        ann, bob = ({"x-api-key": f"key-of-{name}"} for name in KEYS)
        first = (await gateway.http.post("/v1/responses", json={"input": "Say it"}, headers=ann)).json()
        body = {"input": [*references(first), {"role": "user", "content": "?"}]}
        statuses = [
            (await gateway.http.post("/v1/responses", json=body, headers=key)).status_code for key in (ann, bob)
        ]
    assert statuses == [200, 404]


async def test_other_endpoints_take_references(tmp_path: Path) -> None:
    """A conversation of references can be compacted, and continued in the background."""
    script = in_sequence(replies("Blue."), replies("A summary"), replies("Yes."))
    async with served_with_store(script, tmp_path) as gateway:
        first = await create_response(gateway, "Which color?")
        items = [{"role": "user", "content": "Which color?"}, *references(first)]
        compacted = await gateway.http.post("/v1/responses/compact", json={"input": items})
        await create_response(gateway, [*items, {"role": "user", "content": "Sure?"}], background=True)
    assert compacted.status_code == 200
    assert all("Blue." in str(one.body["messages"]) for one in gateway.backend.requests[1:])


@pytest.mark.parametrize("after", [[], [text("Hel")]])
async def test_a_failed_response_can_be_read(tmp_path: Path, after: Sequence[Any]) -> None:
    """As soon as its client has read its id in the last event, with the same output and error."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), *after])
    async with served_with_store(script, tmp_path) as gateway:
        stream = await gateway.http.post("/v1/responses", json={"input": "Say it", "stream": True})
        failed = parse_events(stream.content)[-1]["response"]
        read = await gateway.http.get(f"/v1/responses/{failed['id']}")
    assert failed["status"] == "failed"
    assert read.json() == failed


async def test_a_compaction_trigger_in_a_conversation() -> None:
    """The response is one item, which replaces the conversation from then on."""
    async with served(in_sequence(replies("Blue is wanted."), replies("Blue"))) as gateway:
        items = [{"role": "user", "content": "Remember blue."}, {"type": "compaction_trigger"}]
        stream = await gateway.http.post("/v1/responses", json={"input": items, "stream": True, "tools": [WEATHER]})
        [item] = parse_events(stream.content)[-1]["response"]["output"]
        await create_response(gateway, [item, {"role": "user", "content": "Which color?"}])
    summarizing, last = (one.body for one in gateway.backend.requests)
    assert "tools" not in summarizing
    assert "Blue is wanted." in str(last["messages"])
    assert "Remember blue." not in str(last["messages"])
