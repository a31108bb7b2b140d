"""Server-sent events, out of bytes that come in any pieces.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re

MAX_FRAME = 64 * 2**20
"""Bytes that one event may have; search results have some 100,000."""

_ONE_LINE = re.compile(rb"^data: ?([^\n]*)\n\n", re.MULTILINE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class InvalidFrame(Exception):  # noqa: N818 - named by what happened
    """A stream is not what it should be."""


class FrameTooLarge(InvalidFrame):
    """An event does not end."""


class SseDecoder:
    """Cuts a stream into the data of its events. Their names are not read: the data holds its own type."""

    def __init__(self) -> None:
        self._rest = b""
        self._pieces: list[bytes] = []
        self._held = 0
        self._first = True

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is complete now.

        Raises:
            TooLarge: An event has more than `MAX_FRAME` bytes.
        """
        if b"\r" in data or self._rest[-1:] == b"\r":
            data = self._unified(data)
        return self._split(data)

    def _split(self, data: bytes) -> list[bytes]:
        """An event ends at an empty line, which may itself come in two pieces."""
        boundary = b"\n\n" in data or (data[:1] == b"\n" and self._rest[-1:] == b"\n")
        if not boundary:
            self._hold(data)
            return []
        whole = b"".join((*self._pieces, self._rest, data))
        if self._first:
            self._first = False
            whole = whole.removeprefix(_BYTE_ORDER_MARK)
        end = whole.rfind(b"\n\n") + 2
        self._rest = whole[end:]
        self._pieces, self._held = [], len(self._rest)
        return _data_in(whole[:end])

    def _hold(self, data: bytes) -> None:
        """Keep a piece of an event that is not complete, without joining it to those before each time."""
        if not data:
            return
        if self._rest:
            self._pieces.append(self._rest)
        self._rest = data
        self._held += len(data)
        if self._held > MAX_FRAME:
            raise FrameTooLarge

    def _unified(self, data: bytes) -> bytes:
        """The same with line feeds alone. A carriage return at the end waits for what follows it."""
        if self._rest[-1:] == b"\r":
            data = b"\r" + data
            # Where it came alone, what is before it is another piece, whose end may be half of an empty line.
            self._rest = self._rest[:-1] or (self._pieces.pop() if self._pieces else b"")
            self._held -= 1
        waits = data.endswith(b"\r")
        data = data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data + b"\r" if waits else data


def _data_in(frames: bytes) -> list[bytes]:
    """The data of each whole event."""
    found = _ONE_LINE.findall(frames)
    if len(found) == frames.count(b"\ndata:") + frames.startswith(b"data:"):
        return found  # every line of data is the only one of its event, and its last: as the API writes them
    return [data for frame in frames.split(b"\n\n") if (data := _data_of(frame))]


def _data_of(frame: bytes) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in frame.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
