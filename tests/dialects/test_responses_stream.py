"""Streamed responses: their events, in OpenAI's order."""

import json
from typing import Any

import pytest
from chat_answers import CITED, FOUND, NOW, PARIS, SEARCH, THINKING
from chat_support import IDENTITY, script, text
from responses_spec import assert_event
from responses_support import PATCH, PATCH_CALL, WEATHER, decode, dialect, parse_events, streamed

from dragoman.core import errors
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageEvent
from dragoman.core.messages import JSONObject
from dragoman.dialects.shared import sse

REQUEST = decode(stream=True, tools=[WEATHER, PATCH])
WITH_SUMMARY = decode(stream=True, reasoning={"effort": "low", "summary": "auto"})


def _types(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_text() -> None:
    """All events, from the announcement to the complete response."""
    events = parse_events(streamed(REQUEST, script([text("abcd")])))
    assert _types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["delta"] for event in events if "delta" in event] == ["abc", "d"]
    assert events[6]["text"] == "abcd"
    assert events[0]["response"]["status"] == "in_progress"
    assert events[-1]["response"]["output"] == [events[-2]["item"]]


def test_function_calls() -> None:
    """Arguments are sent as they come; a call without arguments has an empty object."""
    events = parse_events(streamed(REQUEST, script([PARIS, NOW], "tool_use", piece=10)))
    call = ["output_item.added", *["function_call_arguments.delta"] * 2, "function_call_arguments.done"]
    assert _types(events)[2:7] == [*call, "output_item.done"]
    assert [event["delta"] for event in events if "delta" in event] == ['{"city": "', 'Paris"}', "{}"]
    done = [event for event in events if event["type"].endswith("arguments.done")]
    assert [(event["name"], event["output_index"]) for event in done] == [("get_weather", 0), ("get_time", 1)]


def test_custom_tool_call() -> None:
    """Its text is sent as it comes, without the JSON around it."""
    events = parse_events(streamed(REQUEST, script([PATCH_CALL], "tool_use", piece=14)))
    deltas = [event["delta"] for event in events if "delta" in event]
    assert _types(events)[2:-1] == [
        "output_item.added",
        *["custom_tool_call_input.delta"] * len(deltas),
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert len(deltas) > 1
    assert "".join(deltas) == events[-3]["input"] == events[-2]["item"]["input"] == 'a "b"\n\\ü'


def test_reasoning_and_text() -> None:
    """The summary is sent as it comes; the item ends before the next one begins."""
    events = parse_events(streamed(WITH_SUMMARY, script([THINKING, text("ab")], piece=6)))
    assert _types(events)[2:10] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
    ]
    without_summary = parse_events(streamed(REQUEST, script([THINKING, text("ab")])))
    assert _types(without_summary)[2:5] == ["output_item.added", "output_item.done", "output_item.added"]


def test_web_search() -> None:
    """It is announced once its query is known; citations follow when their text is complete."""
    events = parse_events(streamed(REQUEST, script([SEARCH, FOUND, CITED], piece=99)))
    assert _types(events)[2:-1] == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]


def test_refusal() -> None:
    """It is a part of its own, and the response is incomplete."""
    events = parse_events(streamed(REQUEST, script([text("So")], "refusal")))
    assert _types(events)[5:] == [
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Overloaded("Claude is overloaded."), "server_error"),
        (errors.QuotaExceeded("Used up."), "rate_limit_exceeded"),
        (errors.ContextTooLong("Too long."), "invalid_prompt"),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 4])
def test_error_closes_the_open_item_and_ends_the_stream(error: errors.GatewayError, code: str, after: int) -> None:
    """At any time, with one last event."""
    message_events = script([text("abcd")])
    stream = dialect().encode_stream(REQUEST, IDENTITY)
    events = parse_events(b"".join(map(stream.feed, message_events[:after])) + stream.fail(error))
    for event in events:
        assert_event(event)
    assert _types(events)[:2] == ["created", "in_progress"]
    if after == 4:
        assert _types(events)[-4:-1] == ["output_text.done", "content_part.done", "output_item.done"]
        assert events[-2]["item"]["status"] == "incomplete"
    failed = events[-1]
    assert [event["type"] for event in events if event["type"] in ("response.failed", "error")] == ["response.failed"]
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": code, "message": error.message}
    assert stream.failure is error
    assert json.loads(stream.response_body or b"") == failed["response"]
    assert (stream.feed(message_events[3]), stream.finish()) == (b"", b"")


def test_text_that_does_not_fit_its_format_ends_as_an_error() -> None:
    """Text that fits completes, and so does a message with tool calls."""
    request = decode(stream=True, text={"format": {"type": "json_object"}}, tools=[WEATHER])
    stream = dialect().encode_stream(request, IDENTITY)
    out = parse_events(b"".join(map(stream.feed, script([text("Sure!")]))) + stream.finish())
    assert _types(out)[-2:] == ["output_item.done", "failed"]
    assert stream.failure
    assert stream.failure.code == "schema_mismatch"
    assert out[-1]["response"]["error"]["message"] == stream.failure.message
    valid: list[list[MessageEvent]] = [script([text("{}")]), script([text("I look."), PARIS], "tool_use")]
    assert [_types(parse_events(streamed(request, one)))[-1] for one in valid] == ["completed", "completed"]


def test_feed_returns_complete_events() -> None:
    """A heartbeat may come between any two, and each event has a write of its own."""
    stream = dialect().encode_stream(WITH_SUMMARY, IDENTITY)
    for event in script([THINKING, text("abcd"), PARIS], "tool_use"):
        out = stream.feed(event)
        assert b"".join(sse.events(out)) == out
    assert stream.separate_events
    assert stream.heartbeat.startswith(b":")
    assert stream.response_body


def test_search_query_in_pieces() -> None:
    """The API sends the query in pieces; a cut query is empty."""
    begin, *_, delta, stop = script([])
    start = BlockStart(0, {"index": 0, "content_block": {**SEARCH, "input": {}}})
    for written, query in [('{"query": "rain"}', "rain"), ('{"query": "ra', "")]:
        pieces = [BlockDelta(0, {"delta": {"type": "input_json_delta", "partial_json": one}}) for one in written]
        events = parse_events(streamed(REQUEST, [begin, start, *pieces, BlockStop(0, {}), delta, stop]))
        assert events[2]["item"]["action"]["query"] == query
        assert events[-1]["response"]["output"][0]["status"] == "failed"


def test_unknown_blocks_are_skipped() -> None:
    """With all their content."""
    begin, *_, delta, stop = script([])
    start = BlockStart(0, {"index": 0, "content_block": {"type": "hologram"}})
    piece = BlockDelta(0, {"delta": {"type": "hologram_delta", "pixel": 1}})
    events = parse_events(streamed(REQUEST, [begin, start, piece, BlockStop(0, {}), delta, stop]))
    assert _types(events) == ["created", "in_progress", "completed"]


def test_unsigned_thinking_is_not_encrypted() -> None:
    """The API would not accept it back."""
    request = decode(stream=True, include=["reasoning.encrypted_content"])
    unsigned: JSONObject = {**THINKING, "signature": ""}
    item = parse_events(streamed(request, script([unsigned])))[-1]["response"]["output"][0]
    assert "encrypted_content" not in item
