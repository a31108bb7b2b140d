"""What a call of the Messages API has used, read from its response while it is passed on."""

from typing import cast

import msgspec

from dragoman.backends.base import ReservedCall
from dragoman.core.accumulate import merge_usage
from dragoman.core.messages import JSONObject, Usage

_MAX_LINE = 32 * 1024**2
_CHARACTERS_PER_TOKEN = 4
_DELTA_KEYS = ("text", "thinking", "partial_json")


class CallUsage:
    """Reads the response of one call: a stream of events, or one message.

    Args:
        call: Gets the usage; None: nothing is read.
    """

    def __init__(self, call: ReservedCall | None) -> None:
        self._call = call
        self._line = bytearray()
        self._usage: Usage | None = None
        self._characters = 0
        self._is_counted = False

    def feed(self, data: bytes) -> None:
        """Take the next part of the response's body."""
        if self._call is None or len(self._line) > _MAX_LINE:
            return
        self._line += data
        if b"\n" not in data:
            return
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            self._read(bytes(line))

    def end(self) -> None:
        """End the call. Output that the API has not counted is estimated: it is paid, too. Idempotent."""
        if self._call is None:
            return
        self._read(bytes(self._line))
        estimated = -(-self._characters // _CHARACTERS_PER_TOKEN)
        if self._usage is not None and not self._is_counted and estimated > _count(self._usage, "output_tokens"):
            self._note({"output_tokens": estimated})
        self._call.end()
        self._call = None

    def _read(self, line: bytes) -> None:
        text = line.removeprefix(b"data:").strip()
        if not text.startswith(b"{"):
            return
        try:
            event = cast("JSONObject", msgspec.json.decode(text))
        except msgspec.DecodeError:
            return
        match event:
            case {"type": "message_start", "message": {"usage": dict(usage)}}:
                self._note(usage)
            case {"type": "content_block_delta", "delta": dict(delta)}:
                self._characters += sum(len(part) for key in _DELTA_KEYS if isinstance(part := delta.get(key), str))
            case {"type": "message_delta" | "message", "usage": dict(usage)}:
                self._is_counted = True
                self._note(usage)
            case _:
                pass

    def _note(self, usage: JSONObject) -> None:
        self._usage = merge_usage(self._usage, usage)
        if self._call is not None and self._usage:
            self._call.note(cast("JSONObject", self._usage))


def _count(usage: Usage, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
