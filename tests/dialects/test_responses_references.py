"""References to items of stored responses (`item_reference`)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chat_support import IDENTITY, NEWEST, script
from responses_support import WEATHER, decode_error, dialect, raw, result, turns, user, warnings

from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.responses.references import ReferencedItem, item_references
from dragoman.dialects.responses.request import ResponsesRequest

STORING = dialect(stores_responses=True)
THINKING: JSONObject = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
PARIS: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
CITED: JSONObject = {"type": "text", "text": "Rain.", "citations": [{"type": "web_search_result_location", "url": "u"}]}
SEARCH: list[JSONObject] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
]
ASK: JSONObject = {"role": "user", "content": "Weather?"}


def stored(request: ResponsesRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn") -> tuple[bytes, Any]:
    """Return the document of a response, and its output."""
    answers = [accumulate(script(blocks, stop_reason))]
    body = STORING.encode(request, IDENTITY, answers)
    return STORING.stored_format.completed(request, IDENTITY, answers, body), json.loads(body)["output"]


def references(document: bytes, items: Sequence[Any]) -> Mapping[str, ReferencedItem]:
    """Return the stored items with these ids."""
    found = {item["id"]: STORING.stored_format.find_item(document, item["id"]) for item in items}
    return {id_: item for id_, item in found.items() if item}


def reference(item: Any) -> JSONObject:
    """Return a reference to an item."""
    return {"type": "item_reference", "id": item["id"]}


def test_all_items_of_a_response_are_sent_as_claude_wrote_them() -> None:
    """Reasoning, searches, texts with their sources and calls: block for block, without a warning."""
    blocks: list[JSONObject] = [THINKING, *SEARCH, CITED, {"type": "text", "text": "So:"}, PARIS]
    first = STORING.decode(raw([ASK], model=NEWEST, tools=[WEATHER, {"type": "web_search"}]))
    document, output = stored(first, blocks, "tool_use")
    assert [item["type"] for item in output] == ["reasoning", "web_search_call", "message", "function_call"]
    items: list[JSON] = [ASK, *map(reference, output), result("toolu_1")]
    body = raw(items, model=NEWEST, tools=[WEATHER, {"type": "web_search"}])
    second = STORING.decode_continuation(body, None, references(document, output))
    assert second.body["messages"][1]["content"] == blocks
    assert second.warnings == ()


def test_only_what_is_referred_to_is_sent() -> None:
    """In the order of the request."""
    document, output = stored(STORING.decode(raw([ASK])), [THINKING, {"type": "text", "text": "21"}])
    items: list[JSON] = [ASK, reference(output[1]), user({"type": "input_text", "text": "Sure?"})]
    request = STORING.decode_continuation(raw(items), None, references(document, output))
    assert turns(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]


def test_the_items_themselves_are_stored() -> None:
    """A later response can continue this one, or refer to the same items, when the first is gone."""
    first = STORING.decode(raw([ASK], model=NEWEST))
    document, output = stored(first, [THINKING, {"type": "text", "text": "21"}])
    items: list[JSON] = [ASK, *map(reference, output), user({"type": "input_text", "text": "Sure?"})]
    second = STORING.decode_continuation(raw(items, model=NEWEST), None, references(document, output))
    later, _ = stored(second, [{"type": "text", "text": "Yes."}])
    listed = STORING.stored_format.input_items([later], [])
    assert [item["type"] for item in listed] == ["message", "reasoning", "message", "message"]
    assert [item["id"] for item in listed[1:3]] == [item["id"] for item in output]
    third = STORING.decode_continuation(
        raw("And?", model=NEWEST, previous_response_id="resp_2"), STORING.stored_format.history([later])
    )
    assert third.body["messages"][: len(second.body["messages"])] == second.body["messages"]
    assert third.warnings == ()


def test_input_items_can_be_referred_to() -> None:
    """By the ids that they are listed with."""
    document, _ = stored(STORING.decode(raw("Weather?")), [{"type": "text", "text": "21"}])
    listed = STORING.stored_format.input_items([document], [])
    request = STORING.decode_continuation(raw([*map(reference, listed)]), None, references(document, listed))
    assert request.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}]


def test_a_cut_call_is_sent_as_its_item() -> None:
    """The API does not accept the block."""
    cut: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Os"}}
    events = [event for event in script([cut], "max_tokens") if "Os" not in str(event)]
    answers = [accumulate(events)]
    first = STORING.decode(raw([ASK], tools=[WEATHER]))
    body = STORING.encode(first, IDENTITY, answers)
    document = STORING.stored_format.completed(first, IDENTITY, answers, body)
    output = json.loads(body)["output"]
    request = STORING.decode_continuation(
        raw([ASK, *map(reference, output), result("toolu_1")]), None, references(document, output)
    )
    assert isinstance(request.body["messages"][1]["content"][0]["input"], dict)


def test_ids_name_their_response() -> None:
    """Of output and of input items; other ids name none."""
    document, output = stored(STORING.decode(raw("?")), [{"type": "text", "text": "21"}])
    response_id = STORING.stored_format.response_id(IDENTITY)
    items = [*output, *STORING.stored_format.input_items([document], [])]
    assert {STORING.stored_format.response_of_item(item["id"]) for item in items} == {response_id}
    for other in ("msg_1", "", "msg_" + "0" * 31, response_id):
        assert STORING.stored_format.response_of_item(other) is None
    assert STORING.stored_format.find_item(document, "msg_1") is None


def test_references_of_a_body() -> None:
    """With and without a type; a body that cannot be read has none."""
    items: list[JSON] = [
        {"type": "item_reference", "id": "a"},
        {"id": "b"},
        {"id": "c", "role": "user", "content": "?"},
    ]
    found = item_references(raw(items))
    assert [(one.id, one.param) for one in found] == [("a", "input[0].id"), ("b", "input[1].id")]
    for body in (b'{"input": [{"id": 5}]}', b'{"id": ', raw("id")):
        assert item_references(body) == []


def test_without_a_store_references_are_refused() -> None:
    """By name."""
    assert decode_error([{"type": "item_reference", "id": "msg_1"}]) == ("unsupported_parameter", "input[0].id")


def test_reasoning_of_another_model_is_left_out() -> None:
    """With a warning that names the reference."""
    document, output = stored(STORING.decode(raw([ASK], model=NEWEST)), [THINKING, {"type": "text", "text": "21"}])
    items: list[JSON] = [ASK, *map(reference, output), user({"type": "input_text", "text": "Sure?"})]
    request = STORING.decode_continuation(raw(items), None, references(document, output))
    assert turns(request)[1] == ("assistant", ["text"])
    assert warnings(request) == [("left_out", "input[1].id")]
