"""Long steps on large request bodies, in a thread: the event loop gets turns between them.

A call into C on many megabytes holds the interpreter's lock until it returns: some 60 ms for 30 MB of JSON. The event
loop then gets the lock for one callback, and a small request needs several. If one long call follows another, such a
request waits for each of them. So the thread pauses after each long call: in the pause, the loop carries out all that
has arrived, and a small request waits for one call.
"""

import asyncio
import base64
import time

LONG_STEP = 8 * 2**20
"""Bytes. A step on fewer bytes takes some 20 ms or less, and is followed by no pause."""

_PAUSE_SECONDS = 0.002
_PART_CHARS = 2**20  # a multiple of 4


def let_others_run(size: int) -> None:
    """Pause after a step on `size` bytes, if it was a long one. Do nothing on the event loop's own thread."""
    if size >= LONG_STEP and not _is_on_event_loop():
        time.sleep(_PAUSE_SECONDS)


def decode_base64(data: str) -> bytes:
    """Decode base64 a part at a time: other threads get turns after each part.

    Raises:
        ValueError: It is not valid.
    """
    try:
        return b"".join([base64.b64decode(data[at : at + _PART_CHARS]) for at in range(0, len(data), _PART_CHARS)])
    except ValueError:  # perhaps only because line ends move the groups of characters
        return base64.b64decode(data)


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
