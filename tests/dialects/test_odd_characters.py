"""Strings and keys with odd characters, in the requests of every dialect."""

import json
from collections.abc import Callable
from typing import Any

import completions_support
import messages_support
import pytest
import responses_support
from chat_support import OLD, PING, decode, dialect, warned

from dragoman.core.json_text import replace_half_characters
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import DecodedRequest
from dragoman.dialects.responses.continuation import previous_response_id
from dragoman.dialects.responses.references import Reference, item_references
from dragoman.dialects.shared.validation import parse_json, with_model

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ODD = [
    "\0",
    "\x85",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\ufffe",
    "\uffff",
    "\U0001f600",
    "e\u0301",
    "\u202e",
    "\x7f",
    "\\ud83d",
]

DECODERS: dict[str, tuple[Callable[[bytes], DecodedRequest], JSONObject]] = {
    "chat": (dialect().decode, {"messages": [{"role": "user", "content": "TEXT"}]}),
    "completions": (completions_support.dialect().decode, {"prompt": "TEXT"}),
    "responses": (responses_support.dialect().decode, {"input": "TEXT"}),
    "messages": (
        messages_support.dialect().decode,
        {"messages": [{"role": "user", "content": "TEXT"}], "max_tokens": 9},
    ),
}


def _prompt(name: str, text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the text that Claude gets for a text as it is between quotes in JSON, and the warnings."""
    decoder, fields = DECODERS[name]
    request = decoder(json.dumps({"model": OLD, **fields}).replace("TEXT", text).encode("utf-8", "surrogatepass"))
    content: Any = request.body["messages"][-1]["content"]
    return content[-1]["text"], [(warning.code, warning.param) for warning in request.warnings]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a\ud83d", "a\ufffd"),
        (r"\ude00a", "\ufffda"),
        (r"\uD83D\uD83D\uDE00", "\ufffd\U0001f600"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\\ud83d\ud83d", "\\ud83d\ufffd"),
        (r"\\\ud83d", "\\\ufffd"),
        ("a\ud83db", "a\ufffdb"),
    ],
)
def test_half_of_a_character_becomes_a_replacement_character(name: str, written: str, read: str) -> None:
    """With a warning, and nothing else changes: a history that holds one must not be stuck for ever."""
    assert _prompt(name, written) == (read, [("replaced", "body")])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_characters_reach_claude_unchanged(name: str, odd: str) -> None:
    """Control characters, separators, noncharacters, and escapes that are none."""
    assert _prompt(name, json.dumps(f"a{odd}b")[1:-1]) == (f"a{odd}b", [])


def test_half_of_a_character_in_a_key() -> None:
    """Keys are strings, too."""
    assert parse_json(rb'{"a\ud83d": {"\udc00": 1}}') == {"a\ufffd": {"\ufffd": 1}}


def test_half_of_a_character_in_the_arguments_of_a_call() -> None:
    """They are JSON inside of JSON, so there the escape is escaped."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": r'{"a\ud83d": "\ude00"}'}}
    messages: list[Any] = [*PING, {"role": "assistant", "tool_calls": [call]}]
    request = decode([*messages, {"role": "tool", "tool_call_id": "c", "content": "x"}])
    assert request.body["messages"][1]["content"][0]["input"] == {"a\ufffd": "\ufffd"}


@pytest.mark.parametrize("name", DECODERS)
def test_a_byte_order_mark_in_front_of_a_body_is_skipped(name: str) -> None:
    """Some programs on Windows write one."""
    decoder, fields = DECODERS[name]
    raw = json.dumps({"model": OLD, **fields}).encode()
    assert decoder(BYTE_ORDER_MARK + raw).body == decoder(raw).body


def test_what_is_no_json_stays_refused() -> None:
    """The repair must not make JSON of something else."""
    for raw in (rb'{"a": "\ud83d"', rb"\ud83d", b'{"a": "\xff"}', rb'{"a": "\ud8"}'):
        with pytest.raises(Exception, match="not valid JSON"):
            parse_json(raw)


def test_text_without_half_characters_is_not_changed() -> None:
    """Whole characters and escaped backslashes look similar."""
    text = rb'{"a": "\ud83d\ude00", "b": "\\ud83d", "c": "\\\\udc00\n"}'
    assert replace_half_characters(text) == text


@pytest.mark.parametrize("prefix", [b"", BYTE_ORDER_MARK])
def test_a_body_with_half_a_character_is_read_everywhere(prefix: bytes) -> None:
    """Also where only one field of it is looked up or set."""
    raw = prefix + rb'{"input": "\ud83d", "previous_response_id": "resp_1", "model": "x"}'
    assert previous_response_id(raw) == "resp_1"
    reference = prefix + rb'{"input": [{"type": "item_reference", "id": "msg_1"}], "user": "\ud83d"}'
    assert item_references(reference) == [Reference("msg_1", "input[0].id")]
    assert parse_json(with_model(raw, "sonnet")) == {
        "input": "\ufffd",
        "previous_response_id": "resp_1",
        "model": "sonnet",
    }


def test_a_warning_is_given_once() -> None:
    """However many characters were replaced."""
    request = dialect().decode(rb'{"messages": [{"role": "user", "content": "\ud83d \ud83d"}], "seed": 1}')
    assert warned(request) == [("replaced", "body"), ("ignored", "seed")]
