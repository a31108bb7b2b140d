"""Framing of server-sent events."""

from openai._streaming import SSEDecoder

from dragoman.dialects.shared import sse


def test_openais_reader_reads_names_data_and_no_comments() -> None:
    """The client's own decoder finds exactly the events, and passes over the heartbeat."""
    raw = sse.HEARTBEAT + sse.event(b'{"a":1}') + sse.event(b"{}", "response.created") + sse.DONE
    found = [(event.event, event.data) for event in SSEDecoder().iter_bytes(iter([raw]))]
    assert found == [(None, '{"a":1}'), ("response.created", "{}"), (None, "[DONE]")]


def test_a_stream_falls_into_its_events() -> None:
    """Each whole, in order, and nothing beside them."""
    parts = [sse.event(b'{"a":"\\n\\n"}', "response.created"), sse.HEARTBEAT, sse.event(b"{}")]
    assert sse.events(b"".join(parts)) == parts
    assert sse.events(b"") == []
