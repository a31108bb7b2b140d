"""Standard error, which may be gone before the gateway is: a terminal is closed, a pipe has lost its reader."""

import errno
import os
import sys

_GONE = (errno.EIO, errno.EPIPE)


def to_stderr(line: bytes) -> None:
    """Write a line. What cannot be written is lost: no answer ends for it, and no end of the gateway waits for it."""
    try:
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()
    except OSError as error:
        if error.errno in _GONE:
            _lead_nowhere()


def _lead_nowhere() -> None:
    """Have all that is written from here on, and what is still to be written, go where it does no harm."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stderr.fileno())
    os.close(nothing)
