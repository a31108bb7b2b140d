"""Streams that the API would not send: events missing, doubled, out of order, broken, or after the end."""

from collections.abc import Sequence
from typing import TypeAlias

from dragoman.core.events import MessageEvent
from dragoman.simulator.faults import Fault

Frame: TypeAlias = tuple[MessageEvent, bytes]
"""An event and its server-sent event."""

_HALF_CHARACTER = b"\xf0\x9f"


def edited(frames: Sequence[Frame], fault: Fault) -> Sequence[Frame]:
    """Return the frames of a response with the fault's edit. After a cut, the connection must be broken."""
    number = fault.event
    before, found, after = frames[:number], frames[number : number + 1], frames[number + 1 :]
    edits: dict[str | None, Sequence[Frame]] = {
        "cut": before,
        "drop": [*before, *after],
        "repeat": [*before, *found, *found, *after],
        "swap": [*before, *after[:1], *found, *after[1:]],
        "halve": [*before, *((event, _halved(frame)) for event, frame in found), *after],
        "second message": [*frames, *frames],
    }
    return edits.get(fault.edit, frames)


def _halved(frame: bytes) -> bytes:
    """Return a frame with half of a UTF-8 character at the end of its last text."""
    start, quote, end = frame.rpartition(b'"')
    return start + _HALF_CHARACTER + quote + end
