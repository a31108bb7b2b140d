"""Events of a complete message accumulate to the same message."""

from typing import Any, cast

import pytest

from dragoman.core.accumulate import AccumulatedMessage, accumulate
from dragoman.core.events import BlockDelta
from dragoman.core.message_events import message_events
from dragoman.core.messages import FinalMessage

BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "Hello"},
    {"type": "text", "text": ""},
    {"type": "text", "text": "As A says", "citations": [{"type": "char_location", "cited_text": "A"}]},
    {"type": "text", "text": "none", "citations": None},
    {"type": "thinking", "thinking": "Well", "signature": "c2ln"},
    {"type": "thinking", "thinking": "", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "xxx"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "new_in_2030", "text": "kept", "more": [1]},
]


@pytest.mark.parametrize("arguments", [{7: '{"a" : 1}'}, {}])
def test_events_accumulate_to_the_message(arguments: dict[int, str]) -> None:
    """With the arguments as Claude wrote them, and fields that only newer messages have."""
    message: Any = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": BLOCKS,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 1}},
        "context_management": {"applied_edits": []},
    }
    answer = AccumulatedMessage(cast("FinalMessage", message), arguments)
    assert accumulate(message_events(answer)) == answer
    texts = [event.raw["delta"] for event in message_events(answer) if isinstance(event, BlockDelta)]
    assert {"type": "text_delta", "text": "Hello"} in texts
