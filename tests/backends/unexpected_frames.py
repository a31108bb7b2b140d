"""Frames that no Claude Code process should write. Each must fail its run at once."""

import json

import pytest


def _event(**fields: object) -> dict[str, object]:
    return {"type": "stream_event", "event": fields}


_DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}

UNEXPECTED_FRAMES: list[object] = [
    {"type": "stream_event"},
    {"type": "stream_event", "event": []},
    {"type": "stream_event", "event": None},
    {"type": "assistant"},
    {"type": "assistant", "message": "text"},
    _event(type="message_start"),
    _event(type="message_start", message=[]),
    _event(type="content_block_start", index=0),
    _event(type="content_block_start", index=0, content_block={}),
    _event(type="content_block_start", index="0", content_block={"type": "text", "text": ""}),
    _event(type="content_block_start", index=0, content_block={"type": "tool_use"}),
    _event(**{**_DELTA, "index": None}),
    _event(**{**_DELTA, "delta": "Hi"}),
    _event(**{**_DELTA, "delta": {"type": "text_delta"}}),
    _event(**{**_DELTA, "delta": {"type": "text_delta", "text": 1}}),
    _event(type="content_block_stop"),
    _event(type="message_delta"),
    _event(type="message_delta", delta=[]),
    _event(type="message_delta", delta={"stop_reason": "end_turn"}, usage=[]),
    ["no object"],
]
"""Missing keys, wrong types, no object."""

UNEXPECTED = pytest.mark.parametrize("frame", UNEXPECTED_FRAMES, ids=lambda frame: json.dumps(frame)[:70])
