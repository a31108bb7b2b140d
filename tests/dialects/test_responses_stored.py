"""Stored responses, and requests that continue them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from chat_support import IDENTITY, NEWEST, OLD, PNG, WEATHER_SCHEMA, script
from openai_spec import assert_valid
from responses_support import CIPHER, PATCH, PATCH_CALL, WEATHER, dialect, raw, result, turns, user, warnings

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect
from dragoman.dialects.responses.request import ResponsesRequest

STORING = dialect(stores_responses=True)
THINKING: JSONObject = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
SEARCH_BLOCKS: list[JSONObject] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "text", "text": "Rain."},
]


def stored(request: ResponsesRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn") -> bytes:
    """Return the document of a response."""
    answers = [accumulate(script(blocks, stop_reason))]
    body = STORING.encode(request, IDENTITY, answers)
    return STORING.stored_format.completed(request, IDENTITY, answers, body)


def continuation(documents: Sequence[bytes], input_: JSON = "And?", **fields: Any) -> ResponsesRequest:
    """Decode a request that continues stored responses, with the model of the last one."""
    body = json.dumps({"input": input_, "previous_response_id": "resp_1", **fields}).encode()
    return STORING.decode_continuation(body, STORING.stored_format.history(documents))


def test_continuation_contains_the_stored_conversation() -> None:
    """With all content of searches and custom calls; model and tools are those of the last response."""
    first = STORING.decode(raw("Rain?", tools=[PATCH, {"type": "web_search"}], model=NEWEST))
    second = continuation([stored(first, SEARCH_BLOCKS)], "Fix it")
    third = continuation(
        [stored(first, SEARCH_BLOCKS), stored(second, [PATCH_CALL], "tool_use")],
        [{"type": "custom_tool_call_output", "call_id": "toolu_9", "output": "done"}],
    )
    assert third.resolved.model.id == first.resolved.model.id
    assert third.body["tools"] == second.body["tools"] == first.body["tools"]
    assert third.bindings["apply_patch"].custom
    assert third.body["messages"][1]["content"] == SEARCH_BLOCKS
    assert third.body["messages"][3]["content"] == [PATCH_CALL]
    assert third.body["messages"][:3] == second.body["messages"]
    assert third.warnings == ()


def test_continuation_may_change_the_tools() -> None:
    """An empty list removes them."""
    first = STORING.decode(raw(tools=[WEATHER]))
    document = stored(first, [{"type": "text", "text": "Hi"}])
    assert "tools" not in continuation([document], tools=[]).body
    assert [tool["name"] for tool in continuation([document], tools=[PATCH]).body["tools"]] == ["apply_patch"]


def test_cut_response_can_be_continued() -> None:
    """What the API rejects is left out: incomplete calls and searches, thinking at the end, blank text."""
    first = STORING.decode(raw())
    cut: JSONObject = {**PARIS, "input": '{"city": "Par'}
    blank: JSONObject = {"type": "text", "text": " "}
    document = stored(first, [blank, {"type": "text", "text": "Wait"}, SEARCH_BLOCKS[0], THINKING, cut], "max_tokens")
    request = continuation([document])
    assert turns(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    assert turns(continuation([stored(first, [THINKING], "max_tokens")])) == [("user", ["text", "text"])]


def test_thinking_is_bound_to_its_conversation() -> None:
    """A model that binds thinking gets it back only if nothing before it changed; other models always do."""
    for model, bound in ((NEWEST, True), (OLD, False)):
        first = STORING.decode(raw("Weather?", tools=[WEATHER], model=model))
        document = stored(first, [THINKING, PARIS], "tool_use")
        same = continuation([document], [result("toolu_1")])
        assert same.body["messages"][1]["content"] == [THINKING, PARIS]
        changed = continuation([document], [result("toolu_1")], instructions="Be brief.")
        kinds = [block["type"] for block in changed.body["messages"][1]["content"]]
        assert kinds == (["tool_use"] if bound else ["thinking", "tool_use"])
        assert warnings(changed) == ([("left_out", "previous_response_id")] if bound else [])


def test_thinking_of_another_model_is_left_out() -> None:
    """A warning says so."""
    document = stored(STORING.decode(raw("Weather?", tools=[WEATHER])), [THINKING, PARIS], "tool_use")
    request = continuation([document], [result("toolu_1")], model=NEWEST)
    assert request.body["messages"][1]["content"] == [PARIS]
    assert warnings(request) == [("left_out", "previous_response_id")]


def test_input_items_are_listed_in_openais_form() -> None:
    """Every type of item, with the fields that the client left out."""
    image: JSONObject = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    items: list[JSON] = [
        {"role": "developer", "content": "Be brief."},
        user({"type": "input_text", "text": "Weather?"}, image),
        {"role": "assistant", "content": "Wait."},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "21"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "a"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        {"type": "compaction", "encrypted_content": CIPHER.encrypt_summary("So far")},
    ]
    request = STORING.decode(raw(items, tools=[WEATHER, PATCH]))
    document = stored(request, [THINKING, {"type": "text", "text": "21"}])
    items_listed = STORING.stored_format.input_items([document], [])
    assert [item["type"] for item in items_listed][:2] == ["message", "message"]
    assert len({item["id"] for item in items_listed}) == len(items)
    page: JSONObject = {"object": "list", "data": [*items_listed], "has_more": False, "first_id": "a", "last_id": "b"}
    assert_valid("ResponseItemList", page)
    next_request = continuation([document], "And?")
    assert turns(next_request)[: len(turns(request))] == turns(request)
    longer = STORING.stored_format.input_items([document, document], ["reasoning.encrypted_content"])
    reasoning = next(item for item in longer[len(items) :] if item["type"] == "reasoning")
    assert reasoning["encrypted_content"]


def test_unfinished_response_has_its_status() -> None:
    """Queued, in progress, failed or cancelled; it can be continued only after it has ended."""
    stored_format = STORING.stored_format
    queued = stored_format.queued(STORING.decode(raw(background=True)), IDENTITY)
    states = {
        "queued": queued,
        "in_progress": stored_format.in_progress(queued),
        "failed": stored_format.failed(queued, UpstreamFailed("Broke")),
        "cancelled": stored_format.cancelled(queued),
    }
    for status, document in states.items():
        response = json.loads(stored_format.view(document))
        assert response["status"] == status
        assert_valid("Response", {key: value for key, value in response.items() if key != "usage"})
    for status in ("queued", "in_progress"):
        with pytest.raises(GatewayError) as refusal:
            stored_format.history([states[status]])
        assert refusal.value.code == "response_in_progress"
    assert turns(continuation([states["failed"]])) == [("user", ["text", "text"])]
    assert stored_format.is_background(queued)


def test_without_a_key_nothing_is_encrypted() -> None:
    """Encrypted content that comes back is refused, and a conversation cannot be compacted."""
    keyless = type(STORING)(Catalog, DialectOptions())
    request = keyless.decode(raw(include=["reasoning.encrypted_content"]))
    output = json.loads(keyless.encode(request, IDENTITY, [accumulate(script([THINKING]))]))["output"]
    assert output == [{"id": output[0]["id"], "type": "reasoning", "summary": []}]
    compaction: JSONObject = {"type": "compaction", "encrypted_content": CIPHER.encrypt_summary("So far")}
    with pytest.raises(GatewayError, match="did not encrypt this content"):
        keyless.decode(raw([compaction]))
    compacting = CompactDialect(Catalog, DialectOptions())
    with pytest.raises(GatewayError) as refusal:
        compacting.encode(compacting.decode(raw()), IDENTITY, [accumulate(script([{"type": "text", "text": "A"}]))])
    assert refusal.value.code == "not_compacted"


def test_prompt_is_decoded_for_counting() -> None:
    """The body is the same as for a response; nothing is stored."""
    counting = InputTokensDialect(Catalog, DialectOptions(stores_responses=True))
    request = counting.decode(raw("ping", tools=[WEATHER], background=True))
    assert request.body == STORING.decode(raw("ping", tools=[WEATHER])).body
    assert request.storage is None
    body = json.loads(counting.encode_count(7))
    assert body == {"object": "response.input_tokens", "input_tokens": 7}
    assert_valid("TokenCountsResource", body)
    for invalid in (b"[]", b"{"):
        with pytest.raises(GatewayError):
            counting.decode(invalid)


def test_stored_schemas_are_those_of_the_client() -> None:
    """Arguments in later responses are checked against them as well."""
    first = STORING.decode(raw(tools=[WEATHER]))
    assert continuation([stored(first, [{"type": "text", "text": "Hi"}])]).tool_schemas == {
        "get_weather": WEATHER_SCHEMA
    }
