"""The reader of an installation that does not stream: it prints a single `result` at the end. No I/O here."""

from collections.abc import Iterator

from dragoman.backends.shared.message_reader import (
    OutputReader,
    block_delta,
    block_start,
    block_stop,
    object_in,
    text_in,
)
from dragoman.backends.shared.message_stream import STOP_REASONS, unreadable
from dragoman.backends.shared.runtime_errors import result_error
from dragoman.core.events import Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject

_TOKEN_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class ResultReader(OutputReader):
    """The reader of a `result`. Its events are those of a streamed message with one text block.

    Args:
        model: The model's id, which the `result` does not contain.
    """

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield its events."""
        if self.outcome != "open" or frame.get("type") != "result":
            return
        if frame.get("is_error") or text_in(frame, "subtype") != "success":
            self.fail(result_error(frame, ""))
            return
        text, usage = text_in(frame, "result"), _usage(frame)
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
        stop_reason = text_in(frame, "stop_reason") if frame.get("stop_reason") is not None else "end_turn"
        if stop_reason not in STOP_REASONS:
            self.fail(unreadable("its stop reason is not known"))
            return
        delta: JSONObject = {"stop_reason": stop_reason, "stop_sequence": None}
        yield MessageStart({"type": "message_start", "message": message})
        yield block_start(0, {"type": "text", "text": ""})
        yield block_delta(0, {"type": "text_delta", "text": text})
        yield block_stop(0)
        yield MessageDelta({"type": "message_delta", "delta": delta, "usage": usage})
        yield MessageStop({"type": "message_stop"})
        self.outcome = "complete"


def _usage(frame: JSONObject) -> JSONObject:
    usage = object_in(frame, "usage") if frame.get("usage") is not None else {}
    counts = {name: usage.get(name) or 0 for name in _TOKEN_COUNTS}
    if not all(isinstance(count, int) for count in counts.values()):
        raise TypeError("`usage` does not contain numbers of tokens")
    return {**counts}
