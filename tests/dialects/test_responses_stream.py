"""Streamed responses: events in OpenAI's order."""

from typing import Any

import pytest
from chat_answers import CITED, FOUND, NOW, PARIS, SEARCH, THINKING
from chat_support import IDENTITY, script, text
from responses_spec import assert_event
from responses_support import PATCH, PATCHED, WEATHER, decode, dialect, streamed, told

from dragoman.core import errors
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageEvent
from dragoman.core.messages import JSONObject
from dragoman.dialects.shared import sse

REQUEST = decode(stream=True, tools=[WEATHER, PATCH])
SUMMED = decode(stream=True, reasoning={"effort": "low", "summary": "auto"})


def _kinds(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text() -> None:
    """From its announcement to the whole response."""
    found = told(streamed(REQUEST, script([text("abcd")])))
    assert _kinds(found) == [
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
    assert [event["delta"] for event in found if "delta" in event] == ["abc", "d"]
    assert found[6]["text"] == "abcd"
    assert found[0]["response"]["status"] == "in_progress"
    assert found[-1]["response"]["output"] == [found[-2]["item"]]


def test_calls() -> None:
    """Arguments as they come; a call without any is said to have an empty object."""
    found = told(streamed(REQUEST, script([PARIS, NOW], "tool_use", piece=10)))
    call = ["output_item.added", *["function_call_arguments.delta"] * 2, "function_call_arguments.done"]
    assert _kinds(found)[2:7] == [*call, "output_item.done"]
    assert [event["delta"] for event in found if "delta" in event] == ['{"city": "', 'Paris"}', "{}"]
    done = [event for event in found if event["type"].endswith("arguments.done")]
    assert [(event["name"], event["output_index"]) for event in done] == [("get_weather", 0), ("get_time", 1)]


def test_a_custom_call() -> None:
    """Its text is told once it can be read whole."""
    found = told(streamed(REQUEST, script([PATCHED], "tool_use")))
    assert _kinds(found)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert found[3]["delta"] == found[4]["input"] == 'a "b"\n\\ü'


def test_thinking_and_text() -> None:
    """The summary as it comes; the item ends before the next one begins."""
    found = told(streamed(SUMMED, script([THINKING, text("ab")], piece=6)))
    assert _kinds(found)[2:10] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
    ]
    bare = told(streamed(REQUEST, script([THINKING, text("ab")])))
    assert _kinds(bare)[2:5] == ["output_item.added", "output_item.done", "output_item.added"]


def test_a_search() -> None:
    """It is told of once its query is known; citations when their text is whole."""
    found = told(streamed(REQUEST, script([SEARCH, FOUND, CITED], piece=99)))
    assert _kinds(found)[2:-1] == [
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


def test_a_refusal() -> None:
    """Said as a refusal, and the response is incomplete."""
    found = told(streamed(REQUEST, script([text("So")], "refusal")))
    assert _kinds(found)[5:] == [
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
def test_an_error_closes_what_is_open_and_is_said_at_the_top(error: errors.GatewayError, code: str, after: int) -> None:
    """Whenever it comes; OpenAI's clients raise on the last event, and nothing follows."""
    events = script([text("abcd")])
    stream = dialect().encode_stream(REQUEST, IDENTITY)
    found = told(b"".join(map(stream.feed, events[:after])) + stream.fail(error))
    for event in found:
        assert_event(event)
    assert _kinds(found)[:2] == ["created", "in_progress"]
    if after == 4:
        assert _kinds(found)[-5:-2] == ["output_text.done", "content_part.done", "output_item.done"]
        assert found[-3]["item"]["status"] == "incomplete"
    failed, said = found[-2:]
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": code, "message": error.message}
    assert (said["type"], said["message"], said["code"]) == ("error", error.message, error.code)
    assert said["error"]["message"] == error.message
    assert stream.failure is error
    assert (stream.feed(events[3]), stream.finish()) == (b"", b"")


def test_a_structured_answer_that_does_not_fit_ends_as_an_error() -> None:
    """Instead of being completed; one that fits, or that calls, is."""
    request = decode(stream=True, text={"format": {"type": "json_object"}}, tools=[WEATHER])
    stream = dialect().encode_stream(request, IDENTITY)
    out = told(b"".join(map(stream.feed, script([text("Sure!")]))) + stream.finish())
    assert _kinds(out)[-2:] == ["failed", "error"]
    assert out[-1]["code"] == "schema_mismatch"
    assert stream.failure
    assert stream.response_body is None
    fits: list[list[MessageEvent]] = [script([text("{}")]), script([text("I look."), PARIS], "tool_use")]
    assert [_kinds(told(streamed(request, events)))[-1] for events in fits] == ["completed", "completed"]


def test_each_feed_gives_whole_events() -> None:
    """A heartbeat may come between any two, and each gets a write of its own."""
    stream = dialect().encode_stream(SUMMED, IDENTITY)
    for event in script([THINKING, text("abcd"), PARIS], "tool_use"):
        out = stream.feed(event)
        assert b"".join(sse.events(out)) == out
    assert stream.separate_events
    assert stream.heartbeat.startswith(b":")
    assert stream.response_body


def test_a_search_whose_query_comes_in_pieces() -> None:
    """As the API sends it; a query that was cut is not known."""
    begin, *_, delta, stop = script([])
    start = BlockStart(0, {"index": 0, "content_block": {**SEARCH, "input": {}}})
    for written, query in [('{"query": "rain"}', "rain"), ('{"query": "ra', "")]:
        pieces = [BlockDelta(0, {"delta": {"type": "input_json_delta", "partial_json": one}}) for one in written]
        found = told(streamed(REQUEST, [begin, start, *pieces, BlockStop(0, {}), delta, stop]))
        assert found[2]["item"]["action"]["query"] == query
        assert found[-1]["response"]["output"][0]["status"] == "failed"


def test_blocks_of_tomorrow_are_passed_over() -> None:
    """With all that comes in them."""
    begin, *_, delta, stop = script([])
    start = BlockStart(0, {"index": 0, "content_block": {"type": "hologram"}})
    piece = BlockDelta(0, {"delta": {"type": "hologram_delta", "pixel": 1}})
    found = told(streamed(REQUEST, [begin, start, piece, BlockStop(0, {}), delta, stop]))
    assert _kinds(found) == ["created", "in_progress", "completed"]


def test_thinking_without_a_signature_cannot_be_sent_back() -> None:
    """So there is nothing to send."""
    request = decode(stream=True, include=["reasoning.encrypted_content"])
    unsigned: JSONObject = {**THINKING, "signature": ""}
    item = told(streamed(request, script([unsigned])))[-1]["response"]["output"][0]
    assert "encrypted_content" not in item
