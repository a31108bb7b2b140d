"""Framing of server-sent events."""

import json

import chat_support
import completions_support
import msgspec
import pytest
import responses_support
from openai._streaming import SSEDecoder

from dragoman.core.messages import JSONObject
from dragoman.dialects.base import StreamEncoder
from dragoman.dialects.messages.stream import MessagesStream
from dragoman.dialects.shared import sse


def test_openais_decoder_reads_the_events() -> None:
    """It finds exactly the events, and ignores the heartbeat."""
    raw = sse.HEARTBEAT + sse.event(b'{"a":1}') + sse.event(b"{}", "response.created") + sse.DONE
    found = [(event.event, event.data) for event in SSEDecoder().iter_bytes(iter([raw]))]
    assert found == [(None, '{"a":1}'), ("response.created", "{}"), (None, "[DONE]")]


def test_split_into_events() -> None:
    """All of them, complete and in order."""
    parts = [sse.event(b'{"a":"\\n\\n"}', "response.created"), sse.HEARTBEAT, sse.event(b"{}")]
    assert sse.events(b"".join(parts)) == parts
    assert sse.events(b"") == []


SEPARATORS = "a\u2028b\u2029c\x85d"


def test_no_line_separator_is_sent_in_an_event() -> None:
    """Clients that split at each of them, as Python's `splitlines` does, would see half of an event."""
    events = [sse.event(msgspec.json.encode({SEPARATORS: SEPARATORS})), b"data: " + sse.encode_json(SEPARATORS)]
    for event in events:
        [line] = event.decode().strip().splitlines()
        assert SEPARATORS in json.dumps(json.loads(line.removeprefix("data: ")), ensure_ascii=False)


def test_other_characters_stay_as_they_are() -> None:
    """Those with the same first bytes, and an escaped backslash."""
    text = "\u2027 \u202a \xc2 \x84 \u0080 \\u2028 \U0001f600"
    assert sse.event(msgspec.json.encode(text)) == b"data: " + msgspec.json.encode(text) + b"\n\n"


@pytest.mark.parametrize("kind", ["chat", "completions", "responses", "messages"])
def test_every_dialect_streams_one_line_for_each_event(kind: str) -> None:
    """Text and the arguments of calls."""
    blocks: list[JSONObject] = [
        {"type": "text", "text": SEPARATORS},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": SEPARATORS}},
    ]
    encoders: dict[str, StreamEncoder] = {
        "chat": chat_support.dialect().encode_stream(chat_support.decode(), chat_support.IDENTITY),
        "completions": completions_support.dialect().encode_stream(
            completions_support.decode("x"), chat_support.IDENTITY
        ),
        "responses": responses_support.dialect().encode_stream(responses_support.decode(), chat_support.IDENTITY),
        "messages": MessagesStream(),
    }
    encoder = encoders[kind]
    stream = b"".join(encoder.feed(event) for event in chat_support.script(blocks, "tool_use", piece=50))
    lines = (stream + encoder.finish()).decode().splitlines()
    assert SEPARATORS in "".join(
        json.dumps(json.loads(line.removeprefix("data: ")), ensure_ascii=False)
        for line in lines
        if line.startswith("data: {")
    )
    assert all(not line or line.startswith(("data: ", "event: ")) for line in lines)
