"""The lists of published objects find errors: a missing field, a wrong type, an unknown variant."""

from typing import Any

import pytest
from openai_spec import assert_valid
from responses_spec import assert_event

DELTA = {
    "type": "response.output_text.delta",
    "sequence_number": 4,
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Hello",
    "logprobs": [],
}
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "claude-sonnet-4-5",
    "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}],
}


def test_valid_objects() -> None:
    """A complete event and a complete chunk are valid."""
    assert_event(DELTA)
    assert_valid("CreateChatCompletionStreamResponse", CHUNK)


@pytest.mark.parametrize("change", [{"item_id": None}, {"output_index": "0"}, {"type": "response.output_text.more"}])
def test_invalid_event(change: dict[str, Any]) -> None:
    """An event with a wrong type of a field, or of an unknown type, is invalid."""
    with pytest.raises(AssertionError):
        assert_event(DELTA | change)


@pytest.mark.parametrize("missing", [*CHUNK])
def test_missing_field(missing: str) -> None:
    """A chunk without a required field is invalid."""
    with pytest.raises(AssertionError):
        assert_valid("CreateChatCompletionStreamResponse", {k: v for k, v in CHUNK.items() if k != missing})
