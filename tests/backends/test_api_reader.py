"""The stream reader and its helpers: frames in any pieces, events of every type, retry times, betas."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from api_harness import MESSAGE
from hypothesis import given
from hypothesis import strategies as st

from dragoman.backends.anthropic.failures import retry_after
from dragoman.backends.anthropic.reader import StreamReader
from dragoman.backends.anthropic.request import betas_of_body, default_max_tokens
from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS
from dragoman.core.messages import MessagesRequest
from dragoman.http.sse import SseDecoder

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return the same bytes, cut at these positions."""
    positions = sorted({min(cut, len(data)) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *positions], [*positions, len(data)], strict=True)]


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=8),
    ENDS,
    st.lists(st.integers(0, 2000), max_size=30),
)
def test_frames_in_any_pieces(values: list[dict[str, str]], end: bytes, cuts: list[int]) -> None:
    """With each kind of line end."""
    lines = [[b"event: x", b"data: " + json.dumps(value).encode(), b""] for value in values]
    data = b"".join(line + end for frame in lines for line in frame) + b": the end" + end
    frames = SseDecoder()
    found = [frame for piece in pieces(data, cuts) for frame in frames.feed(piece)]
    assert [json.loads(frame) for frame in found] == values


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: 1\n\n", [b"1"]),
        (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
        (b"data:1\n\n", [b"1"]),
        (b"data: 1\ndata: 2\n\n", [b"1\n2"]),
        (b"data: 1\nevent: x\n\n", [b"1"]),
        (b"\n\n\ndata: 1\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b": comment\n\nevent: x\n\ndata: 1\n\n", [b"1"]),
        (b"event: x\ndata: data: 1\n\n", [b"data: 1"]),
        (b"data: 1\n", []),
    ],
)
def test_frames_of_the_standard(data: bytes, expected: list[bytes]) -> None:
    """Comments, several lines, no lines, and text that looks like a field; at once and byte by byte."""
    assert SseDecoder().feed(data) == expected
    frames = SseDecoder()
    assert [frame for at in range(len(data)) for frame in frames.feed(data[at : at + 1])] == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_an_event_is_complete_with_its_last_byte(end: bytes, size: int) -> None:
    """Also if a carriage return arrives alone: nothing follows the last event of a response."""
    data = end.join([b"event: x", b"data: 1", b"", b""])
    frames = SseDecoder()
    found = [frame for at in range(0, len(data), size) for frame in frames.feed(data[at : at + size])]
    assert found == [b"1"]


@given(st.lists(st.integers(0, len(MESSAGE)), max_size=20))
def test_a_response_in_any_pieces(cuts: list[int]) -> None:
    """The events are the same."""
    reader = StreamReader()
    events = [event for piece in pieces(MESSAGE, cuts) for event in reader.feed(piece)]
    assert reader.is_complete
    assert accumulate(events) == accumulate(StreamReader().feed(MESSAGE))


def test_unknown_types_are_ignored() -> None:
    """The API may add types at any time."""
    reader = StreamReader()
    events = reader.feed(b'data: {"type":"news","x":1}\n\ndata: {"type":"ping"}\n\n' + MESSAGE)
    assert len(events) == 6
    assert reader.failure is None
    assert reader.feed(b"data: after the end\n\n") == []
    assert reader.failure is None


def test_data_after_the_message_is_ignored() -> None:
    """Some proxies end a stream as OpenAI does, perhaps in the same read."""
    reader = StreamReader()
    reader.feed(MESSAGE + b"data: [DONE]\n\n")
    assert reader.is_complete
    assert reader.failure is None


def test_the_size_of_an_event_is_limited() -> None:
    """An event that does not end fails the stream."""
    reader = StreamReader(SseDecoder(max_event_bytes=1000))
    for _ in range(20):
        reader.feed(b"data: " + b"x" * 100)
    assert reader.failure is not None
    assert "could not be read" in reader.failure.error.message


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_the_default_max_tokens_exceeds_the_largest_budget(model: object) -> None:
    """The largest budget is 24,576 tokens of thinking."""
    known = next(found for found in MODELS if found is model)
    assert 24_576 < default_max_tokens(known) <= known.output_tokens


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "-7"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds or a date. Other values are ignored."""
    assert retry_after(headers) == seconds


def test_retry_after_a_future_date() -> None:
    """The result is the number of seconds until then."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = retry_after({"retry-after": later})
    assert seconds is not None
    assert 0 < seconds <= 100


BETAS: list[tuple[dict[str, object], list[str]]] = [
    ({}, []),
    ({"tools": [{"name": "x"}, {"type": "web_search_20250305"}]}, []),
    ({"tools": [{"type": "computer_20250124"}]}, ["computer-use-2025-01-24"]),
    ({"mcp_servers": [], "tools": [{"type": "mcp_toolset"}]}, ["mcp-client-2025-11-20"]),
    ({"container": {"skills": []}}, ["skills-2025-10-02"]),
    ({"container": "c-1"}, []),
    ({"speed": "fast"}, ["fast-mode-2026-02-01"]),
    ({"speed": "standard"}, []),
    ({"output_config": {"task_budget": {}}}, ["task-budgets-2026-03-13"]),
    ({"thinking": {"type": "adaptive", "block_binding": {}}}, ["thinking-binding-controls-2026-08-01"]),
    (
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]},
        ["files-api-2025-04-14"],
    ),
    (
        {"messages": [{"role": "system", "content": [], "output_config": {"effort": "low"}}]},
        ["mid-conversation-output-config-2026-07-01"],
    ),
]


@pytest.mark.parametrize(("fields", "expected"), BETAS, ids=lambda value: str(value)[:40])
def test_betas_by_the_features_of_a_body(fields: dict[str, object], expected: list[str]) -> None:
    """Each beta occurs once."""
    body: MessagesRequest = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}
    body.update(fields)  # type: ignore[typeddict-item]
    assert betas_of_body(body) == expected
