"""Framing of server-sent events."""

from openai._streaming import SSEDecoder

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
