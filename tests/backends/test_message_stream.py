"""The grammar of a streamed response: what the API may send passes, and everything else is `upstream_error`."""

import copy
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.backends.anthropic.reader import StreamReader
from dragoman.backends.shared.message_stream import STOP_REASONS, MessageStream
from dragoman.core.accumulate import accumulate
from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import JSON, JSONObject


def _start(index: int, **block: JSON) -> JSONObject:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, **fields: JSON) -> JSONObject:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def _stop(index: int) -> JSONObject:
    return {"type": "content_block_stop", "index": index}


def _end(reason: JSON = "tool_use", **usage: JSON) -> JSONObject:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


_MESSAGE: JSONObject = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
MESSAGE_START: JSONObject = {"type": "message_start", "message": {**_MESSAGE, "usage": {"input_tokens": 1}}}
MESSAGE_STOP: JSONObject = {"type": "message_stop"}
CALL: list[JSONObject] = [
    _start(2, type="tool_use", id="toolu_1", name="t", input={}),
    _delta(2, "input_json_delta", partial_json=""),
    _delta(2, "input_json_delta", partial_json='{"a":'),
    _delta(2, "input_json_delta", partial_json=" 1}"),
    _stop(2),
]
RESPONSE: list[JSONObject] = [
    MESSAGE_START,
    _start(0, type="thinking", thinking="", signature=""),
    _delta(0, "thinking_delta", thinking="Hm"),
    _delta(0, "signature_delta", signature="c2ln"),
    _stop(0),
    _start(1, type="text", text=""),
    _delta(1, "text_delta", text="Hel"),
    _delta(1, "text_delta", text="lo"),
    _delta(1, "citations_delta", citation={"type": "char_location"}),
    _stop(1),
    *CALL,
    _end(output_tokens=3, cache_creation={"ephemeral_5m_input_tokens": 0}),
    MESSAGE_STOP,
]
DELTAS = {index for index, event in enumerate(RESPONSE) if event["type"] == "content_block_delta"}


def read(events: list[JSONObject]) -> MessageStream:
    """Return the state after these events."""
    stream = MessageStream()
    for event in events:
        stream.read(event)
    return stream


def direct(events: list[JSONObject]) -> StreamReader:
    """Return the direct backend's reader after these events, in one read."""
    reader = StreamReader()
    reader.feed(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events))
    return reader


def assert_refused(events: list[JSONObject]) -> None:
    """The events are no complete response, and the direct backend reports that as `upstream_error`."""
    with pytest.raises(UpstreamFailed, match="could not be read") as caught:
        read(events)
    assert caught.value.code == "upstream_error"
    failure = direct(events).failure
    assert failure is not None
    assert (failure.error.code, failure.is_transient) == ("upstream_error", False)


def test_a_response_with_every_type_of_block() -> None:
    """It is complete, and its message is the one that was sent."""
    assert read(RESPONSE).is_complete
    stream = MessageStream()
    events = [event for raw in RESPONSE if (event := stream.read(raw)) is not None]
    content = accumulate(events).message["content"]
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]
    assert content[2]["input"] == {"a": 1}


@pytest.mark.parametrize("reason", sorted(STOP_REASONS))
def test_the_published_stop_reasons(reason: str) -> None:
    """Each one ends a response."""
    assert read([*RESPONSE[:-2], _end(reason), MESSAGE_STOP]).is_complete


@pytest.mark.parametrize("reason", [None, "unknown", "", 1, [], {}, True])
def test_an_unknown_stop_reason(reason: JSON) -> None:
    """Such a response may be incomplete."""
    assert_refused([*RESPONSE[:-2], _end(reason), MESSAGE_STOP])


@given(st.data())
def test_events_doubled_dropped_and_out_of_order(data: st.DataObject) -> None:
    """Each is refused, unless only deltas are concerned: a stream has no mark of a missing delta of a text."""
    position = data.draw(st.sampled_from([index for index in range(len(RESPONSE)) if index not in DELTAS]))
    others = [index for index in range(len(RESPONSE)) if index != position]
    events = list(RESPONSE)
    match data.draw(st.sampled_from(["double", "drop", "move"])):
        case "double":
            events.insert(position, events[position])
        case "drop":
            del events[position]
        case _:
            events.insert(data.draw(st.sampled_from(others)), events.pop(position))
    if events == RESPONSE:
        return
    if events[-1] == MESSAGE_STOP or MESSAGE_STOP in events[:-1]:
        assert_refused(events)
    else:
        assert not direct(events).is_complete


@pytest.mark.parametrize(
    "events",
    [
        [*RESPONSE, *RESPONSE],
        [*RESPONSE, MESSAGE_START],
        [*RESPONSE, _delta(1, "text_delta", text="more")],
        [*RESPONSE[:6], _delta(0, "text_delta", text="x")],
        [*RESPONSE[:6], _delta(7, "text_delta", text="x")],
        [*RESPONSE[:6], _delta(1, "thinking_delta", thinking="x")],
        [*RESPONSE[:6], _delta(1, "input_json_delta", partial_json="{}")],
        [*RESPONSE[:2], _delta(0, "text_delta", text="x")],
        [*RESPONSE[:11], _delta(2, "compaction_delta", content="x")],
        [*RESPONSE[:10], _start(3, type="text", text="")],
        [*RESPONSE[:10], _start(1, type="text", text="")],
        [MESSAGE_START, _start(1, type="text", text="")],
        [MESSAGE_START, _end("tool_use"), MESSAGE_STOP],
        [*RESPONSE[:-2], MESSAGE_STOP],
        [*RESPONSE[:15], _start(3, **{**CALL[0]["content_block"], "id": "toolu_1"})],  # type: ignore[dict-item]
    ],
    ids=itertools.count(),
)
def test_events_that_lose_or_double_a_part(events: list[JSONObject]) -> None:
    """A second message, deltas and blocks outside of their place, a call under one id twice."""
    assert_refused(events)


@pytest.mark.parametrize("lost", range(1, 3))
def test_a_lost_part_of_the_arguments(lost: int) -> None:
    """Arguments that are not JSON are never a tool call, also if another block follows."""
    call = [event for index, event in enumerate(CALL) if index != lost + 1]
    assert_refused([*RESPONSE[:10], *call, _end(), MESSAGE_STOP])
    assert_refused([*RESPONSE[:10], *call, _start(3, type="text", text="")])
    stream = MessageStream(checks_arguments=False)
    for event in [*RESPONSE[:10], *call, _end(), MESSAGE_STOP]:
        stream.read(event)
    assert stream.is_complete


@pytest.mark.parametrize("reason", ["max_tokens", "model_context_window_exceeded", "refusal"])
def test_arguments_that_were_cut(reason: str) -> None:
    """The stop reason tells the client that the call is not whole."""
    assert read([*RESPONSE[:13], _stop(2), _end(reason), MESSAGE_STOP]).is_complete


def _paths(value: JSON, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *_paths(item, (*path, key))]]


TYPED = [
    (number, path)
    for number, event in enumerate(RESPONSE)
    for path in _paths(event)
    if path[-1] != "type" or path == ("type",)
    if "citation" not in path[:-1]
]


@pytest.mark.parametrize(("number", "path"), TYPED, ids=str)
def test_wrong_types(number: int, path: tuple[str | int, ...]) -> None:
    """A value of another type anywhere in a response is refused."""
    events = copy.deepcopy(RESPONSE)
    target: JSON = events[number]
    for key in path[:-1]:
        target = target[key]  # type: ignore[index]
    target[path[-1]] = [7.5]  # type: ignore[index]
    assert_refused(events)


def test_unknown_types() -> None:
    """The API may add them: events are ignored, blocks and deltas are passed on."""
    novelty: list[JSONObject] = [{"type": "novelty", "index": 9}, {"type": "ping"}]
    block = [
        _start(0, type="novelty", x=[1]),
        _delta(0, "text_delta", text="x"),
        _delta(0, "novelty_delta", y=1),
        _stop(0),
        _start(1, type="text", text=""),
        _delta(1, "novelty_delta", y=1),
        _stop(1),
        _end("end_turn"),
    ]
    events = [*novelty, MESSAGE_START, *(event for part in block for event in (part, *novelty)), MESSAGE_STOP, *novelty]
    assert read(events).is_complete
    assert direct(events).failure is None


@pytest.mark.parametrize("half", [b"\xf0\x9f", b"\xf0\x9f\x98", b"\xe2\x82", b"\xc3", b"\x80", b"\xff"])
@pytest.mark.parametrize("field", [b"Hello", b"text_delta", b"index", b"msg_1", b"end_turn"])
def test_half_a_character(half: bytes, field: bytes) -> None:
    """Bytes that are no UTF-8 are an error, in every field: neither lost text nor U+FFFD."""
    events = [MESSAGE_START, _start(0, type="text", text=""), _delta(0, "text_delta", text="Hello"), _stop(0)]
    frames = [json.dumps(event).encode() for event in [*events, _end("end_turn"), MESSAGE_STOP]]
    data = b"".join(b"data: " + frame + b"\n\n" for frame in frames)
    reader = StreamReader()
    reader.feed(data.replace(field, field[:2] + half + field[2:], 1))
    assert reader.failure is not None
    assert reader.failure.error.code == "upstream_error"
    assert not reader.is_complete
