"""Errors repeat at most 200 characters of what a client sent, wherever it was in the request."""

import json
from collections.abc import Callable, Iterator

import completions_support
import messages_support
import pytest
import responses_support
from chat_support import PNG, WEATHER, call, dialect

from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DecodedRequest

LONG = "x" * 5000
CHAT: JSONObject = {
    "model": "sonnet",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]},
        {"role": "assistant", "content": "b", "tool_calls": [call()]},
        {"role": "tool", "tool_call_id": "c1", "content": "c"},
    ],
    "tools": [WEATHER],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "reasoning_effort": "low",
    "verbosity": "low",
    "metadata": {"a": "b"},
    "claude": {"mode": "chat"},
    "web_search_options": {"user_location": {"type": "approximate", "approximate": {"city": "Paris"}}},
}
RESPONSES: JSONObject = {
    "model": "sonnet",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
    ],
    "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "get_weather"},
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    "include": ["reasoning.encrypted_content"],
    "truncation": "auto",
    "metadata": {"a": "b"},
}
MESSAGES: JSONObject = {
    "model": "sonnet",
    "max_tokens": 10,
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "x"}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "auto"},
    "claude": {"mode": "chat"},
}
COMPLETIONS: JSONObject = {"model": "sonnet", "prompt": "a", "stop": ["b"], "suffix": None}

REQUESTS: dict[str, tuple[Callable[[bytes], DecodedRequest], JSONObject]] = {
    "chat": (dialect(stores_responses=True, strict_parameters=True).decode, CHAT),
    "responses": (responses_support.dialect().decode, RESPONSES),
    "messages": (messages_support.dialect().decode, MESSAGES),
    "completions": (completions_support.dialect().decode, COMPLETIONS),
}


def _variants(value: JSON, long: str) -> Iterator[JSON]:
    """Yield the value with one of its strings or keys made long, for each of them."""
    if isinstance(value, str):
        yield long
        yield value + long
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for variant in _variants(item, long):
                yield [*value[:index], variant, *value[index + 1 :]]
    elif isinstance(value, dict):
        for key, item in value.items():
            others = {name: other for name, other in value.items() if name != key}
            yield {**others, key + long: item}
            yield {**value, key: long}
            for variant in _variants(item, long):
                yield {**value, key: variant}
        yield {**value, long: 1}


def _error(decoder: Callable[[bytes], DecodedRequest], request: JSON) -> GatewayError | None:
    try:
        decoder(json.dumps(request).encode())
    except GatewayError as error:
        return error
    return None


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("long", [LONG, " ä" * 2500, '"\n' * 2500], ids=["letters", "words", "quotes"])
def test_errors_repeat_little_of_a_request(name: str, long: str) -> None:
    """Every string and every key of a request is made long in turn; most such requests are refused."""
    decoder, request = REQUESTS[name]
    errors = [error for variant in _variants(request, long) if (error := _error(decoder, variant))]
    assert len(errors) >= 3
    for error in errors:
        shown = f"{error.message} {error.param}".replace("\\n", "\n").replace('\\"', '"')
        assert len(error.param or "") <= 201
        assert long[:202] not in shown, error.code


def test_a_message_has_a_length() -> None:
    """Also one that quotes many texts, or a text that contains quotes."""
    error = GatewayError("a`" * 5000, param="p" * 5000)
    assert len(error.message) == 1501
    assert len(error.param or "") == 201
    assert GatewayError("`short` " * 30, param="p").message == "`short` " * 30
