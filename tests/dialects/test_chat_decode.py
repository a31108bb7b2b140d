"""The other fields of a chat request."""

from typing import Any

import pytest
from chat_support import NEWEST, OLD, PING, WEATHER, call, decode, dialect, raw, said

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


def test_a_bare_request() -> None:
    """Nothing is sent that was not asked for: `max_tokens` and `thinking` are the backend's to decide."""
    request = decode()
    assert request.body == {"model": OLD, "messages": [{"role": "user", "content": [{"type": "text", "text": "ping"}]}]}
    assert (request.stream, request.choices, request.warnings, request.include_usage) == (False, 1, (), False)
    assert (request.output_format, request.storage, request.request_options.agent) == (None, None, None)


@pytest.mark.parametrize("name", [name for name in ChatCompletionRequest.__struct_fields__ if name != "messages"])
def test_null_is_not_given(name: str) -> None:
    """For every optional field, as OpenAI takes it."""
    nothing: dict[str, Any] = {name: None}
    request = decode(**nothing)
    assert request.body == decode(model=request.resolved.asked).body
    assert request.warnings == ()


def test_models() -> None:
    """Aliases, the default and dated ids; the API's id is what goes out."""
    assert decode(model="opus").body["model"] == "claude-opus-5-5"
    assert dialect().decode(raw(model=None)).resolved.model.id == NEWEST
    assert decode(model="claude-sonnet-4-5-20250929").body["model"] == "claude-sonnet-4-5-20250929"


def test_an_unknown_model() -> None:
    """With the nearest names."""
    with pytest.raises(NotFound, match="`sonnet`") as caught:
        decode(model="sonet")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_the_catalog_may_change_while_the_gateway_runs() -> None:
    """It is asked each time."""
    catalogs = iter([Catalog(), Catalog(aliases={"gpt-4o": "sonnet"})])
    live = ChatDialect(lambda: next(catalogs))
    with pytest.raises(NotFound):
        live.decode(raw(model="gpt-4o"))
    assert live.decode(raw(model="gpt-4o")).body["model"] == NEWEST


def test_a_retired_model_is_answered_by_its_successor_and_said() -> None:
    """Where the operator allows it."""
    request = ChatDialect(Catalog(map_retired=True)).decode(raw(model="claude-3-5-sonnet-20241022"))
    assert request.body["model"] == NEWEST
    assert said(request) == [("mapped", "model")]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
    ],
)
def test_limits(fields: dict[str, Any], sent: int) -> None:
    """The newer name wins."""
    assert decode(**fields).body["max_tokens"] == sent


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_clamped_limit_is_said_by_the_clients_name(name: str) -> None:
    """Whichever it used."""
    asked: dict[str, Any] = {name: 1_000_000}
    assert said(decode(**asked)) == [("clamped", name)]


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


def test_temperature_turns_manual_thinking_off() -> None:
    """The API refuses the two together; where the model takes no temperature, there is nothing to refuse."""
    assert said(decode(reasoning_effort="low", temperature=0)) == [("ignored", "reasoning_effort")]
    assert said(decode(model=NEWEST, reasoning_effort="low", temperature=0)) == [("ignored", "temperature")]
    assert "thinking" in decode(reasoning_effort="low", temperature=1).body


def test_a_prefill_turns_manual_thinking_off() -> None:
    """The API refuses the two together."""
    messages: list[JSON] = [*PING, {"role": "assistant", "content": "It"}]
    assert said(decode(messages, reasoning_effort="low")) == [("ignored", "reasoning_effort")]


def test_streaming() -> None:
    """And its options."""
    request = decode(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}, n=3)
    assert (request.stream, request.include_usage, request.choices) == (True, True, 3)


def test_a_schema_is_the_apis_structured_output() -> None:
    """Beside the effort; the client's own schema is kept for the check."""
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


def test_a_schema_that_refers_to_itself_is_told_in_words() -> None:
    """OpenAI takes such schemas; the API refuses the request. The answer is still held to it."""
    schema: JSONObject = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    request = decode(response_format=_format(schema))
    assert "output_config" not in request.body
    assert request.output_format == OutputFormat(schema)
    assert said(request) == [("mapped", "response_format")]


def test_a_schema_with_open_objects_is_told_in_words() -> None:
    """The API would close them, and an answer could say nothing under keys of its own. It is checked all the same."""
    schema: JSONObject = {"type": "object", "additionalProperties": {"type": "string"}}
    request = decode(response_format=_format(schema))
    assert "output_config" not in request.body
    [block] = request.body["system"]
    assert str(block["text"]).endswith('{"type":"object","additionalProperties":{"type":"string"}}')
    assert said(request) == [("mapped", "response_format")]
    assert request.output_format is not None
    assert request.output_format.schema == schema


@pytest.mark.parametrize("asked", [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a"}}])
def test_any_object_is_asked_for_in_words(asked: JSON) -> None:
    """The API has no mode for it; the answer is checked."""
    request = decode(response_format=asked)
    assert request.body["system"] == [{"type": "text", "text": OBJECT_INSTRUCTION}]
    assert "output_config" not in request.body
    assert request.output_format
    assert request.output_format.schema is None


def test_text_is_the_default_format() -> None:
    """And says nothing."""
    assert decode(response_format={"type": "text"}).body == decode().body


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": -1}, "invalid_value", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"top_p": 1.1}, "invalid_value", "top_p"),
        ({"top_k": -1}, "invalid_value", "top_k"),
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
def test_wrong_values_are_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    """With the code that says what kind of fault it is."""
    with pytest.raises(InvalidRequest) as caught:
        decode(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_schema_cannot_continue_an_assistant() -> None:
    """The API refuses the two together."""
    with pytest.raises(InvalidRequest) as caught:
        decode([*PING, {"role": "assistant", "content": "{"}], response_format=_format(SCHEMA))
    assert caught.value.param == "response_format"


def test_four_cache_marks_are_kept_the_last_ones() -> None:
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
    assert said(many) == [("clamped", "cache_control")]
    assert "cache_control" not in many.body["tools"][0]
    assert "cache_control" not in many.body["system"][0]
    assert [block.get("cache_control") for block in many.body["messages"][0]["content"]] == [mark["cache_control"]] * 2
    assert str(many.body).count("cache_control") == 4


def test_missing_messages() -> None:
    """The one field that must be there."""
    with pytest.raises(InvalidRequest) as caught:
        dialect().decode(b'{"model":"sonnet"}')
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "messages")
