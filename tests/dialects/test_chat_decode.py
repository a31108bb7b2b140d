"""Decoding of a chat request's parameters."""

from typing import Any

import pytest
from chat_support import NEWEST, OLD, PING, WEATHER, call, decode, dialect, raw, warned

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.chat.schema import ChatCompletionRequest
from dragoman.dialects.shared.structured_output import OBJECT_INSTRUCTION, OutputFormat

SCHEMA: dict[str, JSON] = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}


def _format(schema: JSON) -> JSON:
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}


def _deep(levels: int) -> JSON:
    schema: JSON = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}, "additionalProperties": False}
    return schema


def test_a_minimal_request_sends_no_parameters() -> None:
    """The backend decides about `max_tokens` and `thinking`."""
    request = decode()
    assert request.body == {"model": OLD, "messages": [{"role": "user", "content": [{"type": "text", "text": "ping"}]}]}
    assert (request.stream, request.choices, request.warnings, request.include_usage) == (False, 1, (), False)
    assert (request.output_format, request.storage, request.request_options.agent) == (None, None, None)


@pytest.mark.parametrize("name", [name for name in ChatCompletionRequest.__struct_fields__ if name != "messages"])
def test_null_means_not_given(name: str) -> None:
    """For every optional field, as at OpenAI."""
    nothing: dict[str, Any] = {name: None}
    request = decode(**nothing)
    assert request.body == decode(model=request.resolved.requested_name).body
    assert request.warnings == ()


def test_model_names() -> None:
    """Aliases, the default and dated ids; the API's id is sent."""
    assert decode(model="opus").body["model"] == "claude-opus-5-5"
    assert dialect().decode(raw(model=None)).resolved.model.id == NEWEST
    assert decode(model="claude-sonnet-4-5-20250929").body["model"] == "claude-sonnet-4-5-20250929"


def test_an_unknown_model_is_not_found() -> None:
    """The error suggests the nearest names."""
    with pytest.raises(NotFound, match="`sonnet`") as caught:
        decode(model="sonet")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_the_catalog_may_change_while_the_gateway_runs() -> None:
    """The dialect gets it for each request."""
    catalogs = iter([Catalog(), Catalog(aliases={"gpt-4o": "sonnet"})])
    live = ChatDialect(lambda: next(catalogs))
    with pytest.raises(NotFound):
        live.decode(raw(model="gpt-4o"))
    assert live.decode(raw(model="gpt-4o")).body["model"] == NEWEST


def test_a_retired_model_is_replaced_with_a_warning() -> None:
    """If the operator allows it."""
    request = ChatDialect(Catalog(map_retired=True)).decode(raw(model="claude-3-5-sonnet-20241022"))
    assert request.body["model"] == NEWEST
    assert warned(request) == [("mapped", "model")]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
    ],
)
def test_max_tokens_reaches_the_body(fields: dict[str, Any], sent: int) -> None:
    """The newer name takes precedence."""
    assert decode(**fields).body["max_tokens"] == sent


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_clamped_limit_is_warned_by_the_clients_name(name: str) -> None:
    """Either name."""
    fields: dict[str, Any] = {name: 1_000_000}
    assert warned(decode(**fields)) == [("clamped", name)]


def test_sampling_and_stop_reach_the_body() -> None:
    """By the rules of the model."""
    body = decode(temperature=0.5, top_k=3, stop="END").body
    assert (body["temperature"], body["top_k"], body["stop_sequences"]) == (0.5, 3, ["END"])


def test_effort_reaches_the_body() -> None:
    """As thinking, effort or both."""
    body = decode(model=NEWEST, reasoning_effort="high").body
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "high"}
    assert decode(reasoning_effort="low", max_tokens=2000).body["thinking"] == {
        "type": "enabled",
        "budget_tokens": 1500,
    }


def test_temperature_disables_manual_thinking() -> None:
    """The API refuses both together. A model without temperature ignores it and thinks."""
    assert warned(decode(reasoning_effort="low", temperature=0)) == [("ignored", "reasoning_effort")]
    assert warned(decode(model=NEWEST, reasoning_effort="low", temperature=0)) == [("ignored", "temperature")]
    assert "thinking" in decode(reasoning_effort="low", temperature=1).body


def test_a_prefill_disables_manual_thinking() -> None:
    """The API refuses both together."""
    messages: list[JSON] = [*PING, {"role": "assistant", "content": "It"}]
    assert warned(decode(messages, reasoning_effort="low")) == [("ignored", "reasoning_effort")]


def test_stream_options() -> None:
    """With the number of choices."""
    request = decode(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}, n=3)
    assert (request.stream, request.include_usage, request.choices) == (True, True, 3)


def test_a_schema_uses_the_apis_structured_output() -> None:
    """Together with the effort; the client's own schema is kept to check the response."""
    request = decode(model=NEWEST, response_format=_format(SCHEMA), reasoning_effort="low")
    assert request.body["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"a": {"type": "integer", "description": "{minimum: 1}"}},
                "additionalProperties": False,
            },
        },
    }
    assert request.output_format
    assert request.output_format.schema == SCHEMA


def test_a_recursive_schema_is_sent_as_an_instruction() -> None:
    """The API refuses such a schema. The response is still checked."""
    schema: JSONObject = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    request = decode(response_format=_format(schema))
    assert "output_config" not in request.body
    assert request.output_format == OutputFormat(schema)
    assert warned(request) == [("mapped", "response_format")]


def test_a_schema_with_open_objects_is_sent_as_an_instruction() -> None:
    """The API would close the objects, and they would stay empty. The response is still checked."""
    schema: JSONObject = {"type": "object", "additionalProperties": {"type": "string"}}
    request = decode(response_format=_format(schema))
    assert "output_config" not in request.body
    [block] = request.body["system"]
    assert str(block["text"]).endswith('{"type":"object","additionalProperties":{"type":"string"}}')
    assert warned(request) == [("mapped", "response_format")]
    assert request.output_format is not None
    assert request.output_format.schema == schema


@pytest.mark.parametrize("fields", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a"}}])
def test_json_object_is_sent_as_an_instruction(fields: JSON) -> None:
    """The API has no mode for it; the response is checked."""
    request = decode(response_format=fields)
    assert request.body["system"] == [{"type": "text", "text": OBJECT_INSTRUCTION}]
    assert "output_config" not in request.body
    assert request.output_format
    assert request.output_format.schema is None


def test_text_is_the_default_format() -> None:
    """It changes nothing."""
    assert decode(response_format={"type": "text"}).body == decode().body


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": -1}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"top_p": 1.1}, "invalid_value", "top_p"),
        ({"top_k": -2}, "invalid_value", "top_k"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": 1.5}, "invalid_type", "max_completion_tokens"),
        ({"stop": [1]}, "invalid_type", "stop[0]"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 9}, "invalid_value", "n"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"reasoning_effort": "huge"}, "invalid_value", "reasoning_effort"),
        ({"verbosity": "loud"}, "invalid_value", "verbosity"),
        ({"frequency_penalty": 3}, "invalid_value", "frequency_penalty"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"response_format": _format({})}, "invalid_value", "response_format.json_schema.schema"),
        ({"response_format": _format(_deep(400))}, "invalid_value", "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_schema"}}, "missing_required_parameter", "response_format.json_schema"),
        ({"metadata": "x"}, "invalid_type", "metadata"),
    ],
)
def test_invalid_values_are_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    """With the code of the kind of error."""
    with pytest.raises(InvalidRequest) as caught:
        decode(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_schema_cannot_continue_an_assistant_message() -> None:
    """The API refuses both together."""
    with pytest.raises(InvalidRequest) as caught:
        decode([*PING, {"role": "assistant", "content": "{"}], response_format=_format(SCHEMA))
    assert caught.value.param == "response_format"


def test_the_last_four_cache_marks_are_sent() -> None:
    """Of tools, system prompt and messages; the API refuses more."""
    mark: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
    part: dict[str, Any] = {"type": "text", "text": "a", **mark}
    tool: JSON = {"type": "function", "function": {"name": "get_weather"}, **mark}
    messages: list[JSON] = [
        {"role": "system", "content": [part]},
        {"role": "user", "content": [part, part]},
        {"role": "assistant", "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c1", "content": [part]},
    ]
    few = decode(messages, tools=[WEATHER])
    assert few.warnings == ()
    many = decode([*messages, {"role": "user", "content": [part]}], tools=[tool])
    assert warned(many) == [("clamped", "cache_control")]
    assert "cache_control" not in many.body["tools"][0]
    assert "cache_control" not in many.body["system"][0]
    assert [block.get("cache_control") for block in many.body["messages"][0]["content"]] == [mark["cache_control"]] * 2
    assert str(many.body).count("cache_control") == 4


def test_messages_are_required() -> None:
    """With the code `missing_required_parameter`."""
    with pytest.raises(InvalidRequest) as caught:
        dialect().decode(b'{"model":"sonnet"}')
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "messages")
