"""Streamed chat completions."""

import json
from typing import Any

import pytest
from chat_answers import ANSWERS, CITED, NOW, PARIS, TEXT, THINKING
from chat_support import IDENTITY, WEATHER, chunks, decode, dialect, script, streamed, text
from openai_spec import assert_valid

from dragoman.core.errors import Overloaded
from dragoman.core.messages import JSONObject

REQUEST = decode(stream=True)
COUNTED = decode(stream=True, stream_options={"include_usage": True})


def _deltas(stream: bytes) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(stream) if chunk["choices"]]


@pytest.mark.parametrize("case", ANSWERS)
def test_every_chunk_matches_openais_description(case: str) -> None:
    """With usage and without it."""
    for request in (REQUEST, COUNTED, decode(functions=[{"name": "get_weather"}])):
        for chunk in chunks(streamed(request, script(*ANSWERS[case]))):
            assert_valid("CreateChatCompletionStreamResponse", chunk)


def test_a_complete_stream() -> None:
    """Role, text in pieces, finish reason, end mark; every chunk has the same id."""
    stream = streamed(REQUEST, script([text("abcd")]))
    found = chunks(stream)
    frame = {key: found[0][key] for key in ("id", "object", "created", "model", "system_fingerprint")}
    assert frame["id"] == "chatcmpl-0123456789abcdef0123456789abcdef"
    assert (frame["object"], frame["created"]) == ("chat.completion.chunk", IDENTITY.created)
    deltas = [{"role": "assistant", "content": None}, {"content": "abc"}, {"content": "d"}, {}]
    assert found == [
        {
            **frame,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
        }
        for delta, reason in zip(deltas, [None, None, None, "stop"], strict=True)
    ]
    assert stream.endswith(b"data: [DONE]\n\n")


def test_usage_is_the_last_chunk_if_requested() -> None:
    """It has no choices; the other chunks have a null usage."""
    found = chunks(streamed(COUNTED, script([TEXT])))
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["prompt_tokens"] == 30
    assert found[-1]["usage"]["completion_tokens"] == 11
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in found[:-1])
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks(streamed(REQUEST, script([TEXT]))))


def test_calls_have_their_own_index() -> None:
    """Counted among calls, not among blocks; no arguments are sent as an empty object."""
    calls = [
        delta["tool_calls"][0]
        for delta in _deltas(streamed(REQUEST, script([TEXT, PARIS, NOW], "tool_use", piece=10)))
        if "tool_calls" in delta
    ]
    assert calls == [
        {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": "'}},
        {"index": 0, "function": {"arguments": 'Paris"}'}},
        {"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "get_time", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_legacy_functions_stream_one_call() -> None:
    """In the legacy form; the second call has no field there."""
    request = decode(functions=[{"name": "get_weather"}], stream=True)
    found = chunks(streamed(request, script([PARIS, {**PARIS, "id": "b"}, NOW], "tool_use", piece=20)))
    assert [chunk["choices"][0]["delta"] for chunk in found[1:-1]] == [
        {"function_call": {"name": "get_weather", "arguments": ""}},
        {"function_call": {"arguments": '{"city": "Paris"}'}},
    ]
    assert found[-1]["choices"][0]["finish_reason"] == "function_call"


def test_thinking_streams_and_its_details_come_at_the_end() -> None:
    """Text and signature together, when the block ends."""
    deltas = _deltas(streamed(REQUEST, script([THINKING, TEXT], piece=6)))
    assert deltas[1:4] == [
        {"reasoning_content": "Let me"},
        {"reasoning_content": " see."},
        {
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "Let me see.",
                    "signature": "sig==",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                }
            ]
        },
    ]


def test_citations_come_at_the_end_of_their_text() -> None:
    """Their positions are known only then."""
    deltas = _deltas(streamed(REQUEST, script([text("So: "), CITED], piece=99)))
    assert deltas[2] == {"content": "It rains."}
    spans = [note["url_citation"] for note in deltas[3]["annotations"]]
    assert [(span["start_index"], span["end_index"]) for span in spans] == [(4, 13), (4, 13)]


def test_a_refusal_comes_before_the_finish_reason() -> None:
    """In a chunk of its own."""
    details: JSONObject = {"explanation": "This could do harm."}
    found = chunks(streamed(REQUEST, script([], "refusal", stop_details=details)))
    assert found[-2]["choices"][0]["delta"] == {"refusal": "This could do harm."}
    assert found[-1]["choices"][0]["finish_reason"] == "content_filter"


def test_choices_stream_concurrently() -> None:
    """Each with its own role, index and reason; one usage for all."""
    request = decode(n=2, stream=True, stream_options={"include_usage": True})
    found = chunks(streamed(request, script([text("aaa")]), script([text("bbb"), NOW], "tool_use")))
    for index, (content, reason) in enumerate([("aaa", "stop"), ("bbb", "tool_calls")]):
        own = [one for chunk in found for one in chunk["choices"] if one["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert "".join(one["delta"].get("content") or "" for one in own) == content
        assert [one["finish_reason"] for one in own if one["finish_reason"]] == [reason]
    assert found[-1]["usage"]["prompt_tokens"] == 60


def test_feed_returns_complete_events() -> None:
    """Or nothing: a heartbeat may come between any two."""
    stream = dialect().encode_stream(COUNTED, IDENTITY)
    out = [stream.feed(event) for event in script([THINKING, TEXT, PARIS, NOW], "tool_use")]
    assert all(not part or (part.startswith(b"data: ") and part.endswith(b"\n\n")) for part in out)
    assert stream.heartbeat.startswith(b":")


def test_a_finished_stream_encodes_nothing_more() -> None:
    """Neither a late event nor a second end."""
    stream = dialect().encode_stream(REQUEST, IDENTITY)
    events = script([TEXT])
    assert b"".join(map(stream.feed, events)) + stream.finish() == streamed(REQUEST, events)
    assert (stream.feed(events[2]), stream.finish()) == (b"", b"")


def test_an_error_ends_the_stream_without_an_end_mark() -> None:
    """OpenAI's clients raise on it; nothing follows."""
    stream = dialect().encode_stream(REQUEST, IDENTITY)
    events = script([TEXT])
    begun = b"".join(stream.feed(event) for event in events[:3])
    failed = stream.fail(Overloaded("Claude is overloaded."))
    body = json.loads(failed.removeprefix(b"data: "))
    assert begun
    assert_valid("ErrorResponse", body)
    assert body["error"]["code"] == "overloaded"
    assert stream.failure
    assert (stream.feed(events[3]), stream.finish()) == (b"", b"")


def test_a_text_that_does_not_match_its_format_ends_as_an_error() -> None:
    """Instead of a finish reason."""
    request = decode(stream=True, response_format={"type": "json_object"})
    stream = dialect().encode_stream(request, IDENTITY)
    out = b"".join(stream.feed(event) for event in script([text("Sure!")])) + stream.finish()
    assert chunks(out)[-1]["error"]["code"] == "schema_mismatch"
    assert b"[DONE]" not in out
    assert stream.failure
    assert chunks(streamed(request, script([text("{}")])))[-1]["choices"][0]["finish_reason"] == "stop"


def test_tool_calls_are_not_checked_against_the_format() -> None:
    """The text comes in a later response."""
    request = decode(stream=True, response_format={"type": "json_object"}, tools=[WEATHER])
    found = chunks(streamed(request, script([text("I look."), PARIS], "tool_use")))
    assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"
