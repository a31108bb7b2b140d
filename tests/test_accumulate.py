"""Accumulation of events to the final message, and of usage."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.accumulate import MessageAccumulator, accumulate, add_usage, merge_usage, with_earlier_usage
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
    Retrying,
    Started,
)
from dragoman.core.messages import JSONObject

START = MessageStart(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "content": [],
            "stop_reason": None,
            "usage": {"input_tokens": 5, "output_tokens": 1, "service_tier": "standard"},
        },
    }
)


def _block(index: int, start: JSONObject, *deltas: JSONObject, stop: bool = True) -> list[Event]:
    events: list[Event] = [BlockStart(index, {"content_block": start})]
    events += [BlockDelta(index, {"delta": delta}) for delta in deltas]
    return [*events, BlockStop(index, {})] if stop else events


def _content(*events: Event) -> Sequence[JSONObject]:
    return accumulate([START, *events]).message["content"]


def test_a_complete_response() -> None:
    """Text, stop reason and usage. Later counts replace earlier ones; other fields of the start stay."""
    end: JSONObject = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None, "container": {"id": "c"}},
        "usage": {"output_tokens": 9, "input_tokens": None},
        "context_management": {"applied_edits": []},
    }
    text = _block(
        0, {"type": "text", "text": "H"}, {"type": "text_delta", "text": "e"}, {"type": "text_delta", "text": "y"}
    )
    events: list[Event] = [Started("api"), Retrying(1, 0.5, "overloaded_error"), START, *text, MessageDelta(end)]
    assert accumulate([*events, MessageStop({})]).message == {
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hey"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "container": {"id": "c"},
        "context_management": {"applied_edits": []},
        "usage": {"input_tokens": 5, "output_tokens": 9, "service_tier": "standard"},
    }


def test_thinking_has_its_signature() -> None:
    """Without it the API does not accept the block in a later request."""
    assert _content(
        *_block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "hm"},
            {"type": "signature_delta", "signature": "si"},
            {"type": "signature_delta", "signature": "g"},
        )
    ) == [{"type": "thinking", "thinking": "hm", "signature": "sig"}]


def test_citations_are_added_to_those_of_the_start() -> None:
    """In order."""
    assert _content(
        *_block(
            0,
            {"type": "text", "text": "", "citations": [{"url": "a"}]},
            {"type": "citations_delta", "citation": {"url": "b"}},
        )
    ) == [{"type": "text", "text": "", "citations": [{"url": "a"}, {"url": "b"}]}]
    assert _content(
        *_block(
            0, {"type": "text", "text": "", "citations": None}, {"type": "citations_delta", "citation": {"url": "b"}}
        )
    ) == [{"type": "text", "text": "", "citations": [{"url": "b"}]}]


def test_arguments_are_parsed_and_kept_as_written() -> None:
    """By the block's index in the content, whatever its index in the events is."""
    accumulated = accumulate(
        [
            START,
            *_block(0, {"type": "text", "text": "a"}),
            *_block(
                3,
                {"type": "tool_use", "id": "t", "input": {}},
                {"type": "input_json_delta", "partial_json": ""},
                {"type": "input_json_delta", "partial_json": '{"b" :'},
                {"type": "input_json_delta", "partial_json": " 1}"},
            ),
        ]
    )
    assert accumulated.message["content"][1] == {"type": "tool_use", "id": "t", "input": {"b": 1}}
    assert accumulated.arguments == {1: '{"b" : 1}'}


@pytest.mark.parametrize("written", ['{"a": ', "[" * 100_000])
def test_arguments_that_do_not_parse_stay_text(written: str) -> None:
    """The output limit may have cut them off."""
    start: JSONObject = {"type": "tool_use", "id": "t", "input": {}}
    delta: JSONObject = {"type": "input_json_delta", "partial_json": written}
    assert _content(*_block(0, start, delta))[0]["input"] == written


def test_a_lone_surrogate_is_replaced() -> None:
    """It is valid as a JSON escape, but cannot be encoded in a response. The arguments as written keep it."""
    start: JSONObject = {"type": "tool_use", "id": "t", "input": {}}
    delta: JSONObject = {"type": "input_json_delta", "partial_json": r'{"\ud83e": ["a\uDD8A", 1, "\ud83e\udd8a"]}'}
    accumulated = accumulate([START, *_block(0, start, delta)])
    lost = "\N{REPLACEMENT CHARACTER}"
    assert accumulated.message["content"][0]["input"] == {lost: [f"a{lost}", 1, "\N{FOX FACE}"]}
    assert accumulated.arguments == {0: delta["partial_json"]}


def test_without_arguments_the_input_of_the_start_stays() -> None:
    """It is mostly an empty object."""
    accumulated = accumulate([START, *_block(0, {"type": "tool_use", "id": "t", "input": {"x": 1}})])
    assert accumulated.message["content"] == [{"type": "tool_use", "id": "t", "input": {"x": 1}}]
    assert accumulated.arguments == {}


def test_unknown_deltas_are_accumulated() -> None:
    """A delta of an unknown type changes the fields that it names. A delta without a block is ignored."""
    new: JSONObject = {"type": "hologram", "data": {"a": [1]}, "words": None}
    deltas: list[JSONObject] = [
        {"type": "hologram_delta", "words": "so ", "more": 1},
        {"type": "hologram_delta", "words": "far", "more": [2], "data": None},
    ]
    stray = BlockDelta(9, {"delta": {"type": "text_delta", "text": "lost"}})
    assert _content(*_block(0, new, *deltas), stray) == [{**new, "words": "so far", "more": [2]}]
    assert new["words"] is None


def test_the_result_of_an_incomplete_response() -> None:
    """It is available at any time, and the events are not changed."""
    start: JSONObject = {"type": "tool_use", "id": "t", "input": {}}
    events = [START, *_block(0, start, {"type": "input_json_delta", "partial_json": '{"a":1}'}, stop=False)]
    accumulator = MessageAccumulator()
    for event in events:
        accumulator.add(event)
    first = accumulator.result()
    assert first == accumulator.result()
    assert first.message["content"] == [{"type": "tool_use", "id": "t", "input": {"a": 1}}]
    assert start["input"] == {}
    assert START.raw["message"]["content"] == []  # type: ignore[index, call-overload]


def test_a_restart_discards_everything_before_it() -> None:
    """Without events after it there is no message."""
    broken = [
        START,
        *_block(0, {"type": "text", "text": "lost"}),
        *_block(1, {"type": "text", "text": "too"}),
        Restarted(),
    ]
    assert accumulate([*broken, START, *_block(0, {"type": "text", "text": "kept"})]).message["content"] == [
        {"type": "text", "text": "kept"}
    ]
    with pytest.raises(UpstreamFailed):
        accumulate(broken)


@pytest.mark.parametrize("events", [[], [Started("warm")], [MessageDelta({"delta": {}})], [MessageStop({})]])
def test_events_without_a_message_are_an_error(events: list[Event]) -> None:
    """They are not an empty message."""
    with pytest.raises(UpstreamFailed):
        accumulate(events)


def test_usage_can_include_an_earlier_attempt() -> None:
    """Numbers are added at any depth; other values are those of the later response."""
    earlier = accumulate(
        [START, MessageDelta({"usage": {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}})]
    )
    details: JSONObject = {
        "output_tokens_details": {"thinking_tokens": 2},
        "server_tool_use": {"web_search_requests": 1},
    }
    answer = accumulate([START, MessageDelta({"usage": {"service_tier": "batch", **details}})])
    counted = with_earlier_usage(answer, earlier)
    assert counted.message["usage"] == {
        "input_tokens": 10,
        "output_tokens": 10,
        "service_tier": "batch",
        "output_tokens_details": {"thinking_tokens": 6},
        "server_tool_use": {"web_search_requests": 1},
    }
    assert answer.message["usage"]["input_tokens"] == 5
    assert with_earlier_usage(answer, accumulate([MessageStart({"message": {}})])) == answer


@given(st.lists(st.text(max_size=5)), st.text(max_size=3))
def test_text_is_its_pieces(pieces: list[str], first: str) -> None:
    """Whatever the pieces are."""
    deltas: list[Any] = [{"type": "text_delta", "text": piece} for piece in pieces]
    assert _content(*_block(0, {"type": "text", "text": first}, *deltas)) == [
        {"type": "text", "text": first + "".join(pieces)}
    ]


def test_a_block_stop_carries_the_finished_block() -> None:
    """Encoders need not collect the text, the signature or the citations of a block again."""
    thinking = _block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "sig"},
    )
    accumulator = MessageAccumulator()
    passed = [accumulator.add(event) for event in [START, *thinking]]
    assert passed == [START, *thinking]
    last = passed[-1]
    assert isinstance(last, BlockStop)
    assert last.block == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert accumulator.result().message["content"][0] is last.block


def test_a_message_delta_carries_the_accumulated_message() -> None:
    """Content, stop reason and usage; the same object as `result` returns afterwards."""
    delta = MessageDelta({"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}})
    accumulator = MessageAccumulator()
    for event in [START, *_block(0, {"type": "text", "text": "a"})]:
        accumulator.add(event)
    passed = accumulator.add(delta)
    assert isinstance(passed, MessageDelta)
    assert passed.accumulated is not None
    assert passed.accumulated.message["content"] == [{"type": "text", "text": "a"}]
    assert passed.accumulated.message["stop_reason"] == "end_turn"
    assert passed.accumulated.message["usage"]["output_tokens"] == 9
    accumulator.add(MessageStop({}))
    assert accumulator.result() is passed.accumulated


def test_later_counts_of_a_call_replace_earlier_ones() -> None:
    """Null and missing counts change nothing, and neither argument is changed."""
    first = merge_usage(None, {"input_tokens": 5, "output_tokens": 1, "service_tier": None})
    assert first == {"input_tokens": 5, "output_tokens": 1}
    assert merge_usage(first, {"output_tokens": 9, "input_tokens": None}) == {"input_tokens": 5, "output_tokens": 9}
    assert first == {"input_tokens": 5, "output_tokens": 1}


@pytest.mark.parametrize("update", [None, [], "many", 3, {}])
def test_a_report_without_counts_changes_nothing(update: Any) -> None:
    """Whatever the API sends instead of an object."""
    assert merge_usage(None, update) == {}
    assert merge_usage({"input_tokens": 5}, update) == {"input_tokens": 5}


def test_the_usage_of_two_calls_is_added() -> None:
    """Numbers at any depth. Other values are those of the later call."""
    earlier: Any = {"input_tokens": 5, "server_tool_use": {"web_search_requests": 2}, "service_tier": "standard"}
    later: Any = {"output_tokens": 3, "server_tool_use": {"web_search_requests": 1}, "service_tier": "batch"}
    assert add_usage(earlier, later) == {
        "input_tokens": 5,
        "output_tokens": 3,
        "server_tool_use": {"web_search_requests": 3},
        "service_tier": "batch",
    }
