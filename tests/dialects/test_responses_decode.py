"""Fields of responses requests: sent to the API, ignored with a warning, or refused by name."""

import json
from typing import Any, cast

import pytest
from chat_support import NEWEST, OLD, WEATHER_SCHEMA
from responses_support import PATCH, WEATHER, decode, decode_error, dialect, plain, raw, user, warnings

from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.shared.structured_output import OBJECT_INSTRUCTION


def test_text_input_becomes_a_user_message() -> None:
    """`instructions` become the system prompt."""
    request = decode("ping", instructions="Be terse.", max_output_tokens=64, temperature=0.5, user="me")
    assert request.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "ping"}]}]
    assert request.body["system"] == [{"type": "text", "text": "Be terse."}]
    assert request.body["max_tokens"] == 64
    assert request.body["temperature"] == 0.5
    assert "me" not in str(request.body["metadata"])
    assert (request.stream, request.choices, request.warnings) == (False, 1, ())


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"previous_response_id": "resp_1"}, "unsupported_parameter", "previous_response_id"),
        ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"prompt": {"id": "p"}}, "unsupported_parameter", "prompt"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"top_logprobs": 1}, "unsupported_parameter", "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "unsupported_parameter", "include[0]"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}},
            "invalid_value",
            "text.format.schema",
        ),
        ({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
        ({"max_output_tokens": 0}, "invalid_value", "max_output_tokens"),
        ({"instructions": 5}, "invalid_type", "instructions"),
        ({"tools": "all"}, "invalid_type", "tools"),
        ({"tools": [5]}, "invalid_type", "tools[0]"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tools": [WEATHER, {**WEATHER, "description": "x"}]}, "invalid_value", "tools[1].name"),
        ({"tools": [{**WEATHER, "name": "web_search"}, {"type": "web_search"}]}, "invalid_value", "tools[1]"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}, "tools": [WEATHER]}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        ({"tool_choice": {"type": "mcp", "server_label": "s"}}, "unsupported_parameter", "tool_choice.type"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "unsupported_parameter",
            "tool_choice.tools[0].type",
        ),
    ],
)
def test_unsupported_and_invalid_fields_are_refused_by_name(fields: dict[str, Any], code: str, param: str) -> None:
    """The error names the field."""
    assert decode_error(**fields) == (code, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"truncation": "auto"}, "truncation"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"prompt_cache_key": "k"}, "prompt_cache_key"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),  # of a model without effort
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"tools": [{"type": "image_generation", "size": "auto"}]}, "tools[0].type"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"novelty": 1}, "novelty"),
        ({"input": [{"role": "user", "content": "a", "novelty": 1}]}, "input[0].novelty"),
    ],
)
def test_fields_without_effect_cause_a_warning(fields: dict[str, Any], param: str) -> None:
    """The warning names the field."""
    assert warnings(decode(fields.pop("input", "ping"), **fields)) == [("ignored", param)]


def test_default_values_cause_no_warning() -> None:
    """Clients send these values without meaning anything by them."""
    fields: dict[str, Any] = {
        "store": False,
        "truncation": "disabled",
        "service_tier": "auto",
        "text": {"verbosity": "medium"},
    }
    assert warnings(decode(**fields, metadata={}, include=["reasoning.encrypted_content"], background=False)) == []


def test_strict_options_refuse_unknown_and_mapped_fields() -> None:
    """`strict_parameters` refuses unknown fields, `strict_mapping` refuses mapped values."""
    with pytest.raises(GatewayError, match="novelty"):
        dialect(strict_parameters=True).decode(raw(novelty=1))
    with pytest.raises(GatewayError, match="got an instruction instead"):
        dialect(strict_mapping=True).decode(raw(model=NEWEST, tools=[WEATHER], tool_choice="required"))


def test_tools_are_converted() -> None:
    """A custom tool becomes a function with one text argument; a web search becomes Claude's server tool."""
    search = {
        "type": "web_search_preview",
        "filters": {"allowed_domains": ["a.test"]},
        "user_location": {"type": "approximate", "city": "Rome"},
    }
    request = decode(tools=[WEATHER, PATCH, search], max_tool_calls=3, parallel_tool_calls=False)
    weather, patch, web_search = request.body["tools"]
    assert weather == {"name": "get_weather", "input_schema": WEATHER_SCHEMA}
    text = cast("Any", patch)["input_schema"]["properties"]["input"]
    assert patch["description"] == "Edits files."
    assert text["description"].endswith("(lark)\nstart: /.+/")
    assert web_search == {
        "type": "web_search_20250305",
        "name": "web_search",
        "allowed_domains": ["a.test"],
        "max_uses": 3,
        "user_location": {"type": "approximate", "city": "Rome"},
    }
    assert request.body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert {name for name, binding in request.bindings.items() if binding.custom} == {"apply_patch"}
    without_grammar = decode(tools=[{"type": "custom", "name": "say"}]).body["tools"][0]
    assert "grammar" not in str(without_grammar)


@pytest.mark.parametrize(
    ("choice", "api_choice", "tool_count"),
    [
        ("auto", {"type": "auto"}, 3),
        ("none", {"type": "none"}, 3),
        ("required", {"type": "any"}, 3),
        ({"type": "function", "name": "get_weather"}, {"type": "tool", "name": "get_weather"}, 3),
        ({"type": "custom", "name": "apply_patch"}, {"type": "tool", "name": "apply_patch"}, 3),
        ({"type": "web_search_preview"}, {"type": "tool", "name": "web_search"}, 3),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "get_weather"}, {"type": "web_search"}],
            },
            {"type": "any"},
            2,
        ),
    ],
)
def test_tool_choice_is_converted(choice: Any, api_choice: JSONObject, tool_count: int) -> None:
    """Each form becomes a choice of the API; `allowed_tools` removes the other tools."""
    body = decode(tools=[WEATHER, PATCH, {"type": "web_search"}], tool_choice=choice).body
    assert body["tool_choice"] == api_choice
    assert len(body["tools"]) == tool_count


def test_text_formats_are_converted() -> None:
    """A schema uses the API's structured output; `json_object` becomes an instruction."""
    text_format = {"type": "json_schema", "name": "w", "schema": WEATHER_SCHEMA, "strict": True}
    request = decode(text={"format": text_format})
    assert request.body["output_config"]["format"] == {"type": "json_schema", "schema": WEATHER_SCHEMA}
    json_object = decode(text={"format": {"type": "json_object"}})
    assert json_object.body["system"][-1]["text"] == OBJECT_INSTRUCTION
    assert decode(text={"format": {"type": "text"}}).output_format is None


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking"),
    [
        (NEWEST, {"effort": "low"}, {"type": "adaptive"}),
        (NEWEST, {"effort": "low", "summary": "auto"}, {"type": "adaptive", "display": "summarized"}),
        (NEWEST, {"generate_summary": "concise"}, {"type": "adaptive", "display": "summarized"}),
        (NEWEST, {}, None),
        (OLD, {"effort": "low", "summary": "auto"}, {"type": "enabled", "budget_tokens": 2048}),
        (OLD, {"effort": "none"}, {"type": "disabled"}),
    ],
)
def test_thinking_is_summarized_only_on_request(model: str, reasoning: JSONObject, thinking: Any) -> None:
    """The thinking configuration follows the rules of the model."""
    assert decode(model=model, reasoning=reasoning).body.get("thinking") == thinking


def test_response_repeats_the_settings() -> None:
    """Sent settings are repeated; the others have OpenAI's defaults; some have one value for all requests."""
    sent: dict[str, Any] = {
        "instructions": "Be terse.",
        "temperature": 0.5,
        "max_output_tokens": 100,
        "metadata": {"a": "b"},
        "truncation": "auto",
        "user": "u",
        "tool_choice": "none",
        "tools": [WEATHER, PATCH],
    }
    response = plain(decode(**sent, service_tier="flex", reasoning={"effort": "low"}), [])
    assert response["tools"] == [{**WEATHER, "description": None, "strict": False}, PATCH]
    assert {key: response[key] for key in sent if key != "tools"} == {k: v for k, v in sent.items() if k != "tools"}
    assert (response["store"], response["service_tier"], response["top_p"]) == (False, "default", 1.0)
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert plain(decode(instructions=None, temperature=None), [])["temperature"] == 1.0


def test_invalid_bodies_are_refused() -> None:
    """The body must be a JSON object with an `input`."""
    for body in (b"{", b"[]", json.dumps({"model": OLD}).encode()):
        with pytest.raises(GatewayError):
            dialect().decode(body)


@pytest.mark.parametrize("content", ["", " ", []])
def test_an_empty_last_message_never_becomes_a_prefill(content: JSON) -> None:
    """The error names the empty item. The assistant message before it is not continued."""
    items: list[JSON] = [
        user({"type": "input_text", "text": "hi"}),
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": content},
    ]
    assert decode_error(items) == ("empty_messages", "input[2].content")
