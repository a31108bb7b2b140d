"""Frames that no Claude Code process should write. Each must fail its run at once."""

import json

import pytest


def _event(**fields: object) -> dict[str, object]:
    return {"type": "stream_event", "event": fields}


UNEXPECTED_FRAMES: list[object] = [
    {"type": "stream_event"},
    {"type": "stream_event", "event": []},
    {"type": "stream_event", "event": None},
    {"type": "assistant"},
    {"type": "assistant", "message": "text"},
    _event(type="message_start"),
    _event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
    ["no object"],
]
"""Missing keys, wrong types, no object, and events that break the grammar of a response (`test_message_stream`)."""


def error_code(frame: object) -> str:
    """Return the code of the error: events are Claude's, all other frames are the process's own."""
    is_event = isinstance(frame, dict) and isinstance(frame.get("event"), dict)
    return "upstream_error" if is_event else "runtime_failed"


UNEXPECTED = pytest.mark.parametrize("frame", UNEXPECTED_FRAMES, ids=lambda frame: json.dumps(frame)[:70])
