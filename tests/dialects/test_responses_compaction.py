"""Compaction by a `compaction_trigger` at the end of `input`."""

import json
from typing import Any

import pytest
from chat_support import IDENTITY, script, text
from responses_spec import assert_event, assert_response
from responses_support import (
    CIPHER,
    PATCH,
    WEATHER,
    call,
    decode,
    decode_error,
    dialect,
    parse_events,
    plain,
    raw,
    result,
    streamed,
)

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.responses.dialect import CompactDialect, ResponsesDialect

TRIGGER: JSONObject = {"type": "compaction_trigger"}
ITEMS: list[JSON] = [{"role": "user", "content": "Weather?"}, call(), result(), TRIGGER]
THINKING: JSONObject = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
FIELDS: dict[str, Any] = {"tools": [WEATHER, PATCH], "tool_choice": "auto", "stream": True}


def test_request_for_a_summary_has_no_tools() -> None:
    """As by `POST /v1/responses/compact`."""
    request = decode(ITEMS, **FIELDS)
    compact = CompactDialect(Catalog, DialectOptions(cipher=CIPHER))
    for items in (ITEMS, ITEMS[:-1]):
        assert compact.decode(raw(items, **FIELDS)).body["messages"] == request.body["messages"]
    assert "Summarize this conversation" in str(request.body["messages"][-1])
    assert request.body["tool_choice"] == {"type": "none"}
    assert [tool["name"] for tool in request.body["tools"]] == ["get_weather"]  # the API requires it, with calls


def test_response_is_one_item() -> None:
    """Whatever Claude wrote, plain and streamed."""
    request = decode(ITEMS, **FIELDS)
    blocks: list[JSONObject] = [THINKING, text("It is "), text("21 degrees.")]
    response = plain(request, blocks)
    [item] = response["output"]
    assert (response["status"], item["type"]) == ("completed", "compaction")
    assert CIPHER.decrypt_summary(item["encrypted_content"]) == "It is 21 degrees."
    assert [tool["name"] for tool in response["tools"]] == ["get_weather", "apply_patch"]
    assert_response(response)
    events = parse_events(streamed(request, script(blocks)))
    for event in events:
        assert_event(event)
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    assert events[-1]["response"] == response
    assert "It is 21 degrees." in str(decode([item, {"role": "user", "content": "And?"}]).body["messages"])


def test_a_message_without_a_summary_is_an_error() -> None:
    """A plain request is sent once more; a stream ends as failed."""
    request = decode(ITEMS, **FIELDS)
    answer = accumulate(script([THINKING]))
    errors = dialect().invalid_choices(request, [answer])
    assert [error.code for error in errors.values()] == ["not_compacted"]
    assert parse_events(streamed(request, script([THINKING])))[-1]["type"] == "response.failed"


def test_the_trigger_must_be_the_last_item() -> None:
    """Else the request is refused by name."""
    assert decode_error([TRIGGER, {"role": "user", "content": "?"}]) == ("invalid_value", "input[0]")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": {"format": {"typ": "json_object"}}}, "text.format"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": 3}, "tool_choice"),
    ],
)
def test_fields_that_a_summary_does_not_use_must_be_valid(fields: dict[str, Any], param: str) -> None:
    """The response repeats them."""
    with pytest.raises(InvalidRequest) as refusal:
        decode(ITEMS, **fields)
    assert str(refusal.value.param).startswith(param)


def test_without_a_key_the_request_is_refused_before_it_costs_anything() -> None:
    """The summary could not be encrypted."""
    with pytest.raises(GatewayError) as refusal:
        ResponsesDialect(Catalog, DialectOptions()).decode(raw(ITEMS))
    assert refusal.value.code == "not_compacted"


def test_a_stored_summary_replaces_the_conversation_before_it() -> None:
    """For a request that continues the response; the trigger itself is not stored."""
    storing = dialect(stores_responses=True)
    first = storing.decode(raw("Remember blue."))
    second = storing.decode(raw([{"role": "user", "content": "Hm."}, TRIGGER]))
    documents = []
    for request, words in ((first, "Yes."), (second, "Blue is wanted.")):
        answers = [accumulate(script([text(words)]))]
        body = storing.encode(request, IDENTITY, answers)
        documents.append(storing.stored_format.completed(request, IDENTITY, answers, body))
    items = storing.stored_format.input_items(documents[1:], [])
    assert [item["type"] for item in items] == ["message"]
    history = storing.stored_format.history(documents)
    after = storing.decode_continuation(raw("Which?", previous_response_id="resp_1"), history)
    [message] = after.body["messages"]
    assert "Blue is wanted." in json.dumps(message)
    assert "Remember blue." not in json.dumps(message)
