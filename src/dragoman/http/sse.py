"""A decoder of server-sent events, for bytes that are received in pieces of any size.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re

MAX_EVENT_BYTES = 64 * 2**20
"""Search results have about 100,000."""

_ONE_LINE = re.compile(rb"^data: ?([^\n]*)\n\n", re.MULTILINE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InvalidFrame(Exception):  # noqa: N818 - named by what happened
    """The stream is not valid."""


class FrameTooLarge(InvalidFrame):
    """An event is larger than the limit."""


class SseDecoder:
    """Splits a stream into the data of its events. Event names are ignored: the data holds its own type.

    Args:
        max_event_bytes: The maximum size of an event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._first = True
        self._after_return = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the data of each event that they complete.

        Raises:
            FrameTooLarge: An event is larger than the limit.
        """
        if self._after_return and data:
            data = data.removeprefix(b"\n")  # the second half of a line end
            self._after_return = False
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return self._split(data)

    def _split(self, data: bytes) -> list[bytes]:
        """Split at empty lines, which end events. An empty line may be received in two pieces."""
        boundary = b"\n\n" in data or (data[:1] == b"\n" and self._rest[-1:] == b"\n")
        if not boundary:
            self._buffer(data)
            return []
        buffered = b"".join((*self._pieces, self._rest, data)) if self._buffered else data
        if self._first:
            self._first = False
            buffered = buffered.removeprefix(_BYTE_ORDER_MARK)
        end = buffered.rfind(b"\n\n") + 2
        self._rest = buffered[end:]
        self._pieces, self._buffered = [], len(self._rest)
        return _data_in(buffered[:end])

    def _buffer(self, data: bytes) -> None:
        """Store a piece of an incomplete event, without joining it to the earlier pieces each time."""
        if not data:
            return
        if self._rest:
            self._pieces.append(self._rest)
        self._rest = data
        self._buffered += len(data)
        if self._buffered > self._max_event_bytes:
            raise FrameTooLarge


def _data_in(frames: bytes) -> list[bytes]:
    """Return the data of each complete event."""
    found = _ONE_LINE.findall(frames)
    if len(found) == frames.count(b"\ndata:") + frames.startswith(b"data:"):
        # Each event has one data line, at its end, as the API sends them. Events without data are not events.
        return [data for data in found if data] if b"" in found else found
    return [data for frame in frames.split(b"\n\n") if (data := _data_of(frame))]


def _data_of(frame: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in frame.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
