"""The answer of an installation that tells of it only at its end: a single `result`. No I/O here."""

from collections.abc import Iterator
from typing import cast

from dragoman.backends.claude_code.failures import result_error
from dragoman.backends.claude_code.reader import Reader
from dragoman.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, MessageStop
from dragoman.messages import JSONObject

_FIGURES = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class WholeAnswer(Reader):
    """The reader that waits for the end.

    Args:
        model: The model's id, which the result does not tell.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield what it means."""
        if self.outcome != "open" or frame.get("type") != "result":
            return
        text = frame.get("result")
        if frame.get("is_error") or frame.get("subtype") != "success" or not isinstance(text, str):
            self.fail(result_error(frame, ""))
            return
        yield from self._answer(frame, text)
        self.outcome = "whole"

    def _answer(self, frame: JSONObject, text: str) -> Iterator[Event]:
        told = cast("JSONObject", frame.get("usage") or {})
        usage: JSONObject = {name: told.get(name) or 0 for name in _FIGURES}
        message: JSONObject = {
            "id": f"msg_{str(frame.get('session_id') or 'cli').replace('-', '')}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": dict(usage),
        }
        yield MessageStart({"type": "message_start", "message": message})
        block: JSONObject = {"type": "text", "text": ""}
        yield BlockStart(0, {"type": "content_block_start", "index": 0, "content_block": block})
        delta: JSONObject = {"type": "text_delta", "text": text}
        yield BlockDelta(0, {"type": "content_block_delta", "index": 0, "delta": delta})
        yield BlockStop(0, {"type": "content_block_stop", "index": 0})
        ending: JSONObject = {"stop_reason": frame.get("stop_reason") or "end_turn", "stop_sequence": None}
        yield MessageDelta({"type": "message_delta", "delta": ending, "usage": usage})
        yield MessageStop({"type": "message_stop"})
