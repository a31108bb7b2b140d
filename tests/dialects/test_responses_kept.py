"""Responses as they are kept, and requests that go on from them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from chat_support import IDENTITY, NEWEST, OLD, PNG, WEATHER_SCHEMA, script
from openai_spec import assert_valid
from responses_support import PATCH, PATCHED, VAULT, WEATHER, dialect, raw, result, said, turns, user

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect
from dragoman.dialects.responses.request import ResponsesRequest

KEEPING = dialect(stores_responses=True)
THOUGHT: JSONObject = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
SEARCHED: list[JSONObject] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "text", "text": "Rain."},
]


def kept(request: ResponsesRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn") -> bytes:
    """The document of an answer."""
    answers = [accumulate(script(blocks, stop_reason))]
    body = KEEPING.encode(request, IDENTITY, answers)
    return KEEPING.stored_format.completed(request, IDENTITY, answers, body)


def going_on(documents: Sequence[bytes], given: JSON = "And?", **fields: Any) -> ResponsesRequest:
    """A request that goes on from kept responses; its model is the last one's."""
    body = json.dumps({"input": given, "previous_response_id": "resp_1", **fields}).encode()
    return KEEPING.decode_continuation(body, KEEPING.stored_format.history(documents))


def test_what_is_kept_goes_on_as_if_it_had_been_sent() -> None:
    """Searches and custom calls with all that was in them; the model and the tools are the last ones'."""
    first = KEEPING.decode(raw("Rain?", tools=[PATCH, {"type": "web_search"}], model=NEWEST))
    second = going_on([kept(first, SEARCHED)], "Fix it")
    third = going_on(
        [kept(first, SEARCHED), kept(second, [PATCHED], "tool_use")],
        [{"type": "custom_tool_call_output", "call_id": "toolu_9", "output": "done"}],
    )
    assert third.resolved.model.id == first.resolved.model.id
    assert third.body["tools"] == second.body["tools"] == first.body["tools"]
    assert third.custom == {"apply_patch"}
    assert third.body["messages"][1]["content"] == SEARCHED
    assert third.body["messages"][3]["content"] == [PATCHED]
    assert third.body["messages"][:3] == second.body["messages"]
    assert third.warnings == ()


def test_tools_may_be_other_ones() -> None:
    """Or none: an empty list is a list."""
    first = KEEPING.decode(raw(tools=[WEATHER]))
    document = kept(first, [{"type": "text", "text": "Hi"}])
    assert "tools" not in going_on([document], tools=[]).body
    assert [tool["name"] for tool in going_on([document], tools=[PATCH]).body["tools"]] == ["apply_patch"]


def test_an_answer_that_was_cut_goes_on_from_where_it_was_cut() -> None:
    """Without what Claude would not take: calls and searches that are not whole, a last thought, blank text."""
    first = KEEPING.decode(raw())
    cut: JSONObject = {**PARIS, "input": '{"city": "Par'}
    blank: JSONObject = {"type": "text", "text": " "}
    document = kept(first, [blank, {"type": "text", "text": "Wait"}, SEARCHED[0], THOUGHT, cut], "max_tokens")
    request = going_on([document])
    assert turns(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    assert turns(going_on([kept(first, [THOUGHT], "max_tokens")])) == [("user", ["text", "text"])]


def test_thinking_stays_with_its_conversation() -> None:
    """A model that binds it gets it back only where nothing before it was changed; others get it back in any case."""
    for model, bound in ((NEWEST, True), (OLD, False)):
        first = KEEPING.decode(raw("Weather?", tools=[WEATHER], model=model))
        document = kept(first, [THOUGHT, PARIS], "tool_use")
        same = going_on([document], [result("toolu_1")])
        assert same.body["messages"][1]["content"] == [THOUGHT, PARIS]
        changed = going_on([document], [result("toolu_1")], instructions="Be brief.")
        kinds = [block["type"] for block in changed.body["messages"][1]["content"]]
        assert kinds == (["tool_use"] if bound else ["thinking", "tool_use"])
        assert said(changed) == ([("left_out", "previous_response_id")] if bound else [])


def test_another_models_thinking_is_left_out() -> None:
    """It is nothing to this one."""
    document = kept(KEEPING.decode(raw("Weather?", tools=[WEATHER])), [THOUGHT, PARIS], "tool_use")
    request = going_on([document], [result("toolu_1")], model=NEWEST)
    assert request.body["messages"][1]["content"] == [PARIS]
    assert said(request) == [("left_out", "previous_response_id")]


def test_input_is_listed_in_openais_form() -> None:
    """Every kind of item, whatever of it the client left out."""
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
        {"type": "compaction", "encrypted_content": VAULT.summary("So far")},
    ]
    request = KEEPING.decode(raw(items, tools=[WEATHER, PATCH]))
    document = kept(request, [THOUGHT, {"type": "text", "text": "21"}])
    listed = KEEPING.stored_format.input_items([document], [])
    assert [item["type"] for item in listed][:2] == ["message", "message"]
    assert len({item["id"] for item in listed}) == len(items)
    page: JSONObject = {"object": "list", "data": [*listed], "has_more": False, "first_id": "a", "last_id": "b"}
    assert_valid("ResponseItemList", page)
    again = going_on([document], "And?")
    assert turns(again)[: len(turns(request))] == turns(request)
    longer = KEEPING.stored_format.input_items([document, document], ["reasoning.encrypted_content"])
    thought = next(item for item in longer[len(items) :] if item["type"] == "reasoning")
    assert thought["encrypted_content"]


def test_what_is_not_whole_says_so() -> None:
    """Queued, running, failed, cancelled; gone on from only once it has ended."""
    documents = KEEPING.stored_format
    queued = documents.queued(KEEPING.decode(raw(background=True)), IDENTITY)
    states = {
        "queued": queued,
        "in_progress": documents.in_progress(queued),
        "failed": documents.failed(queued, UpstreamFailed("Broke")),
        "cancelled": documents.cancelled(queued),
    }
    for status, document in states.items():
        response = json.loads(documents.view(document))
        assert response["status"] == status
        assert_valid("Response", {key: value for key, value in response.items() if key != "usage"})
    for status in ("queued", "in_progress"):
        with pytest.raises(GatewayError) as refusal:
            documents.history([states[status]])
        assert refusal.value.code == "response_in_progress"
    assert turns(going_on([states["failed"]])) == [("user", ["text", "text"])]
    assert documents.is_background(queued)


def test_without_a_key_nothing_is_sealed() -> None:
    """And what was sealed is nothing here."""
    bare = type(KEEPING)(Catalog, DialectOptions())
    request = bare.decode(raw(include=["reasoning.encrypted_content"]))
    output = json.loads(bare.encode(request, IDENTITY, [accumulate(script([THOUGHT]))]))["output"]
    assert output == [{"id": output[0]["id"], "type": "reasoning", "summary": []}]
    compaction: JSONObject = {"type": "compaction", "encrypted_content": VAULT.summary("So far")}
    with pytest.raises(GatewayError, match="not made by this gateway"):
        bare.decode(raw([compaction]))
    summing = CompactDialect(Catalog, DialectOptions())
    with pytest.raises(GatewayError) as refusal:
        summing.encode(summing.decode(raw()), IDENTITY, [accumulate(script([{"type": "text", "text": "A"}]))])
    assert refusal.value.code == "not_compacted"


def test_a_prompt_is_read_as_it_would_be_asked() -> None:
    """To be counted; nothing of it is kept."""
    counted = InputTokensDialect(Catalog, DialectOptions(stores_responses=True))
    request = counted.decode(raw("ping", tools=[WEATHER], background=True))
    assert request.body == KEEPING.decode(raw("ping", tools=[WEATHER])).body
    assert request.storage is None
    answer = json.loads(counted.encode_count(7))
    assert answer == {"object": "response.input_tokens", "input_tokens": 7}
    assert_valid("TokenCountsResource", answer)
    for body in (b"[]", b"{"):
        with pytest.raises(GatewayError):
            counted.decode(body)


def test_schemas_that_were_kept_are_the_clients_own() -> None:
    """Arguments are checked against them in later turns as well."""
    first = KEEPING.decode(raw(tools=[WEATHER]))
    assert going_on([kept(first, [{"type": "text", "text": "Hi"}])]).tool_schemas == {"get_weather": WEATHER_SCHEMA}
