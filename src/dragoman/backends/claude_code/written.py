"""What the runtime says, as it may be written down."""

from typing import cast

from dragoman.messages import JSONObject


def without_pieces(frame: JSONObject) -> JSONObject:
    """A frame; a piece of an answer by its kind alone, since half a secret would not be known for one."""
    event = frame.get("event")
    if not isinstance(event, dict) or event.get("type") != "content_block_delta":
        return frame
    delta = cast("JSONObject", event.get("delta") or {})
    return {"type": frame.get("type"), "event": {**event, "delta": {"type": delta.get("type")}}}
