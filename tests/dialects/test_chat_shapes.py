"""Chats in the shape of the Messages API or the Responses API, as editors send them."""

import json
from typing import Any

import pytest
from chat_support import (
    IDENTITY,
    NEWEST,
    OLD,
    PNG,
    WEATHER,
    WEATHER_SCHEMA,
    call,
    decode,
    dialect,
    only_choice,
    text,
    warned,
)

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.chat.request import ChatRequest

USER: JSONObject = {"role": "user", "content": "hi"}
FLAT: JSONObject = {"type": "function", "name": "get_weather", "parameters": WEATHER_SCHEMA}
CLAUDE: JSONObject = {"name": "get_weather", "description": "Of a city", "input_schema": WEATHER_SCHEMA}
USE: JSONObject = {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT: JSONObject = {"type": "tool_result", "tool_use_id": "c1", "content": "rain"}
IMAGE: JSONObject = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def _decode(model: str = OLD, **fields: Any) -> ChatRequest:
    return dialect().decode(json.dumps({"model": model, **fields}).encode())


def _contents(messages: list[Any], **fields: Any) -> list[Any]:
    return [message["content"] for message in decode(messages, **fields).body["messages"]]


@pytest.mark.parametrize(
    "tool",
    [
        FLAT,
        CLAUDE,
        {**CLAUDE, "type": "custom"},
        {"function": WEATHER["function"]},
        {"type": "function", "function": {"name": "get_weather", "input_schema": WEATHER_SCHEMA}},
    ],
)
def test_tools_in_other_shapes(tool: JSONObject) -> None:
    """Claude's own form, the flat form of the Responses API, without a type: Claude gets the same tool."""
    request = decode(tools=[tool])
    expected: JSONObject = {"name": "get_weather", "input_schema": WEATHER_SCHEMA}
    if "description" in tool:
        expected["description"] = "Of a city"
    assert request.body["tools"] == [expected]
    assert request.warnings == ()
    assert request.tool_schemas == {"get_weather": WEATHER_SCHEMA}


def test_a_tool_in_claudes_form_keeps_its_cache_mark() -> None:
    """Editors mark the last tool."""
    tools = decode(tools=[{**CLAUDE, "cache_control": {"type": "ephemeral"}}]).body["tools"]
    assert tools[0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ({"type": "auto"}, {"type": "auto"}),
        ({"type": "any"}, {"type": "any"}),
        ("any", {"type": "any"}),
        ({"type": "none"}, {"type": "none"}),
        ({"type": "tool", "name": "get_weather"}, {"type": "tool", "name": "get_weather"}),
        ({"type": "function", "name": "get_weather"}, {"type": "tool", "name": "get_weather"}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tool_choices_in_other_shapes(choice: JSON, sent: JSONObject) -> None:
    """Claude's forms, and the flat form of a named tool."""
    assert decode(tools=[CLAUDE], tool_choice=choice).body["tool_choice"] == sent


def test_calls_and_results_in_content() -> None:
    """They are calls and results, in their places, and never text."""
    contents = _contents(
        [USER, {"role": "assistant", "content": [text("Let me look."), USE]}, {"role": "user", "content": [RESULT]}]
    )
    assert contents[1:] == [
        [text("Let me look."), USE],
        [{"type": "tool_result", "tool_use_id": "c1", "content": [text("rain")]}],
    ]


def test_results_come_before_the_text_of_their_message() -> None:
    """The API requires it, wherever the client puts them."""
    error: JSONObject = {**RESULT, "content": [{"type": "text", "text": "no"}, IMAGE], "is_error": True}
    contents = _contents(
        [USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": [text("continue"), error]}]
    )
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [text("no"), IMAGE], "is_error": True}
    assert contents[-1] == [result, text("continue")]


def test_a_call_in_both_shapes_is_one_call() -> None:
    """Some clients send each call in the content and in `tool_calls`."""
    both = {"role": "assistant", "content": [USE], "tool_calls": [call("c1")]}
    assert _contents([USER, both, {"role": "tool", "tool_call_id": "c1", "content": "x"}])[1] == [USE]


def test_a_result_without_its_call_is_refused_by_name() -> None:
    """The error names the part as the client sent it."""
    with pytest.raises(InvalidRequest) as caught:
        decode([USER, {"role": "user", "content": [text("x"), RESULT]}])
    assert caught.value.param == "messages[1].content[1].tool_use_id"


def test_thinking_in_content() -> None:
    """Signed thinking goes back to Claude. Without its signature it is left out with a warning."""
    signed: JSONObject = {"type": "thinking", "thinking": "Hm", "signature": "sig"}
    redacted: JSONObject = {"type": "redacted_thinking", "data": "abc"}
    unsigned: JSONObject = {"type": "thinking", "thinking": "Hm"}
    request = decode([USER, {"role": "assistant", "content": [signed, redacted, unsigned, text("a")]}, USER])
    assert request.body["messages"][1]["content"] == [signed, redacted, text("a")]
    assert warned(request) == [("ignored", "messages[1].content[2]")]


@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {**IMAGE, "source": {"type": "base64", "media_type": "image/jpg", "data": PNG}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_image", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": None}, "detail": None},
        {"type": "image_url", "image_url": {"url": PNG, "detail": None}},
    ],
)
def test_images_in_other_shapes(part: JSONObject) -> None:
    """Of the Messages API and of the Responses API. The type is that of the data."""
    request = decode([{"role": "user", "content": [part]}])
    assert request.body["messages"][0]["content"] == [IMAGE]
    assert request.warnings == ()
    assert len(request.media) == 1


def test_images_and_documents_by_url() -> None:
    """A URL stays a URL: it is fetched later."""
    source: JSONObject = {"type": "url", "url": "https://x.test/a"}
    parts: list[JSON] = [{"type": "image", "source": source}, {"type": "document", "source": source, "title": "A"}]
    parts.append({"type": "input_file", "file_url": "https://x.test/a", "filename": "A"})
    document = {"type": "document", "source": source, "title": "A"}
    assert _contents([{"role": "user", "content": parts}]) == [
        [{"type": "image", "source": source}, document, document]
    ]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "source.type"),
        ({"type": "input_image", "file_id": "f"}, "file_id"),
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_id": "f"}, "file_id"),
    ],
)
def test_parts_without_their_data_are_refused_by_name(part: JSON, param: str) -> None:
    """With the path of the part."""
    with pytest.raises(InvalidRequest) as caught:
        decode([{"role": "user", "content": [part]}])
    assert caught.value.param == f"messages[0].content[0].{param}"


def test_the_system_prompt_of_the_messages_api() -> None:
    """It comes before the messages, also before a system message."""
    body = decode([{"role": "system", "content": "b"}, USER], system=[{"type": "text", "text": "a"}]).body
    assert body["system"] == [text("a"), text("b")]


def test_input_in_place_of_messages() -> None:
    """The items of the Responses API are a conversation; calls belong to the message before them."""
    request = _decode(
        input=[
            {"type": "message", "id": "m", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": []},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"n":1}', "id": "x"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
            {"role": "user", "content": "go"},
        ],
        instructions="Be brief.",
        max_output_tokens=50,
        tools=[FLAT],
    )
    assert request.body["system"] == [text("Be brief.")]
    assert request.body["max_tokens"] == 50
    assert [message["content"] for message in request.body["messages"]] == [
        [text("hi")],
        [
            text("a"),
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"n": 1}},
            {"type": "tool_use", "id": "c2", "name": "f", "input": {}},
        ],
        [
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("1")]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [text("2")]},
            text("go"),
        ],
    ]
    assert warned(request) == [("ignored", "input[1]")]


def test_settings_of_the_responses_api() -> None:
    """Effort, verbosity and format have other places there."""
    named: JSONObject = {"type": "json_schema", "name": "n", "schema": WEATHER_SCHEMA}
    request = _decode(NEWEST, input="hi", reasoning={"effort": "low"}, text={"format": named, "verbosity": "low"})
    expected = decode(
        [USER],
        model=NEWEST,
        reasoning_effort="low",
        verbosity="low",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": WEATHER_SCHEMA}},
    )
    assert request.body == expected.body
    assert request.warnings == expected.warnings


def test_an_unknown_item_is_refused_by_name() -> None:
    """It is not dropped."""
    with pytest.raises(InvalidRequest) as caught:
        _decode(input=[{"type": "computer_call"}])
    assert caught.value.param == "input[0].type"


def test_the_answer_is_a_chat_completion() -> None:
    """Whatever the shape of the request, calls are `tool_calls`."""
    request = _decode(input="hi", tools=[CLAUDE], tool_choice={"type": "auto"})
    choice = only_choice(
        request, [{"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Paris"}}], "tool_use"
    )
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [call("c1", arguments='{"city": "Paris"}')]
    assert request.body["model"] == OLD
    assert dialect().encode_stream(request, IDENTITY).failure is None
