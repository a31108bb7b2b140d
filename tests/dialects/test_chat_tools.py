"""Tools and tool choice of a chat."""

from typing import Any

import pytest
from chat_support import NEWEST, OLD, PING, WEATHER, WEATHER_SCHEMA, call, decode, dialect, raw, text, warned

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.dialect import ChatDialect

CLOCK: JSON = {"type": "function", "function": {"name": "get_time"}}
NAMED: JSON = {"type": "function", "function": {"name": "get_weather"}}
EMPTY: JSON = {"type": "object", "properties": {}}
CALLED: list[JSON] = [
    *PING,
    {"role": "assistant", "tool_calls": [call()]},
    {"role": "tool", "tool_call_id": "c1", "content": "21"},
]


def _allowed(mode: str, *names: str) -> JSON:
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [{"type": "function", "function": {"name": n}} for n in names]},
    }


def test_tool_definitions() -> None:
    """Name, description, schema and cache mark; no parameters are an empty object."""
    tool: JSON = {
        "type": "function",
        "function": {"name": "get_weather", "description": "Of a city", "parameters": WEATHER_SCHEMA, "strict": False},
        "cache_control": {"type": "ephemeral"},
    }
    request = decode(tools=[tool, CLOCK])
    assert request.body["tools"] == [
        {
            "name": "get_weather",
            "input_schema": WEATHER_SCHEMA,
            "description": "Of a city",
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "get_time", "input_schema": EMPTY},
    ]
    assert "tool_choice" not in request.body
    assert request.tool_schemas == {"get_weather": WEATHER_SCHEMA, "get_time": {}}


def test_a_strict_tool_with_open_objects_is_sent_without_strict() -> None:
    """Closed, its open objects would always be empty."""
    schema: JSONObject = {"type": "object", "properties": {"tags": {"type": "object", "additionalProperties": {}}}}
    request = decode(tools=[{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}])
    assert request.body["tools"] == [{"name": "f", "input_schema": schema}]
    assert warned(request) == [("ignored", "tools[0].function.strict")]


def test_a_strict_tool_with_a_recursive_schema_is_sent_without_strict() -> None:
    """OpenAI's strict mode accepts such schemas; the API refuses them."""
    schema: JSONObject = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    request = decode(tools=[{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}])
    assert request.body["tools"] == [{"name": "f", "input_schema": schema}]
    assert warned(request) == [("ignored", "tools[0].function.strict")]


def test_a_strict_tool_has_a_closed_schema() -> None:
    """The API requires it; the client's own schema is kept to check the arguments."""
    schema: dict[str, JSON] = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    request = decode(tools=[{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}])
    assert request.body["tools"] == [
        {
            "name": "f",
            "strict": True,
            "input_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer", "description": "{minimum: 1}"}},
                "additionalProperties": False,
            },
        }
    ]
    assert request.tool_schemas == {"f": schema}


def test_unions_at_the_top_level_are_merged_with_a_warning() -> None:
    """The API refuses them there."""
    tool: JSON = {"type": "function", "function": {"name": "f", "parameters": {"anyOf": [WEATHER_SCHEMA, EMPTY]}}}
    assert warned(decode(tools=[tool])) == [("mapped", "tools[0].function.parameters")]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED, None, {"type": "tool", "name": "get_weather"}),
        (_allowed("required", "get_weather", "get_time"), None, {"type": "any"}),
    ],
)
def test_tool_choice(choice: JSON, parallel: bool | None, sent: JSON) -> None:  # noqa: FBT001 - a column of the table
    """Each form, with and without parallel calls."""
    body = decode(tools=[WEATHER, CLOCK], tool_choice=choice, parallel_tool_calls=parallel).body
    assert body.get("tool_choice") == sent


def test_allowed_tools_leave_the_others_out() -> None:
    """The API has no such choice, but the model cannot call a tool that it does not get."""
    body = decode(tools=[WEATHER, CLOCK], tool_choice=_allowed("auto", "get_time")).body
    assert [tool["name"] for tool in body["tools"]] == ["get_time"]
    assert body["tool_choice"] == {"type": "auto"}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("required", "at least one of the tools"),
        (NAMED, "the tool `get_weather`"),
        (_allowed("required", "get_time"), "one"),
    ],
)
def test_a_model_that_cannot_be_forced_gets_an_instruction(choice: JSON, words: str) -> None:
    """With a warning; with `strict_mapping`, the request is refused."""
    request = decode(model=NEWEST, tools=[WEATHER, CLOCK], tool_choice=choice, parallel_tool_calls=False)
    assert request.body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert words in str(request.body["system"][-1]["text"])
    assert warned(request) == [("mapped", "tool_choice")]
    body = raw(model=NEWEST, tools=[WEATHER, CLOCK], tool_choice=choice)
    with pytest.raises(UnsupportedFeature) as caught:
        dialect(strict_mapping=True).decode(body)
    assert caught.value.param == "tool_choice"


def test_strict_mapping_accepts_exact_equivalents() -> None:
    """Older models can be forced."""
    assert dialect(strict_mapping=True).decode(raw(model=OLD, tools=[WEATHER], tool_choice="required")).warnings == ()


def test_strict_mapping_accepts_a_retired_model() -> None:
    """The operator has allowed it with a setting of its own."""
    strict = ChatDialect(Catalog(map_retired=True), DialectOptions(strict_mapping=True))
    request = strict.decode(raw(model="claude-3-opus-20240229"))
    assert warned(request) == [("mapped", "model")]


def test_legacy_functions() -> None:
    """One call at a time: `function_call` holds only one."""
    request = decode(functions=[{"name": "f"}], function_call={"name": "f"})
    assert request.body["tools"] == [{"name": "f", "input_schema": EMPTY}]
    assert request.body["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}
    assert request.legacy_functions
    assert decode(functions=[{"name": "f"}]).body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert decode(functions=[{"name": "f"}], function_call="none").body["tool_choice"] == {"type": "none"}


def test_a_conversation_with_calls_always_has_tools() -> None:
    """The API requires a definition of every tool that was called; it may not be called again."""
    body = decode(CALLED).body
    assert body["tools"] == [{"name": "get_weather", "input_schema": EMPTY}]
    assert body["tool_choice"] == {"type": "none"}


def test_web_search() -> None:
    """The server tool, with the user's location."""
    place: JSON = {"type": "approximate", "approximate": {"country": "FR", "city": "Paris"}}
    request = decode(web_search_options={"user_location": place, "search_context_size": "low"}, tools=[WEATHER])
    assert request.body["tools"][1] == {
        "type": "web_search_20250305",
        "name": "web_search",
        "user_location": {"type": "approximate", "country": "FR", "city": "Paris"},
    }
    assert warned(request) == [("ignored", "web_search_options.search_context_size")]
    assert decode(web_search_options={}).body["tools"] == [{"type": "web_search_20250305", "name": "web_search"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "get weather"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a" * 65}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        (
            {"tools": [WEATHER, {"type": "function", "function": {"name": "get_weather"}}]},
            "tools[1].function.name",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]},
            "tools[0].function.parameters",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": _allowed("auto", "f")}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.type"),
        ({"tools": [WEATHER], "tool_choice": "some"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": _allowed("required")}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "web_search"}}], "web_search_options": {}}, "tools"),
    ],
)
def test_invalid_tools_and_choices_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """With the field in `param`."""
    with pytest.raises(InvalidRequest) as caught:
        decode(**fields)
    assert caught.value.param == param


def test_the_same_tool_twice_is_sent_once() -> None:
    """With a warning. Two different tools of one name are refused."""
    request = decode(tools=[WEATHER, CLOCK, WEATHER])
    assert request.body["tools"] == decode(tools=[WEATHER, CLOCK]).body["tools"]
    assert warned(request) == [("ignored", "tools[2].function")]


def test_forced_tools_disable_manual_thinking() -> None:
    """The API refuses both together."""
    request = decode(tools=[WEATHER], tool_choice="required", reasoning_effort="high")
    assert request.body["thinking"] == {"type": "disabled"}
    assert warned(request) == [("ignored", "reasoning_effort")]


def test_added_instructions_follow_the_clients_own() -> None:
    """The client's system prompt comes first, so that it can be cached."""
    body = decode(
        [{"role": "system", "content": "s"}, *PING], model=NEWEST, tools=[WEATHER], tool_choice="required"
    ).body
    assert body["system"][0] == text("s")
    assert len(body["system"]) == 2
