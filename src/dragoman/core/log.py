"""The log: named events with fields. `configure` says where they go.

    from dragoman.core import log

    log.warning("ledger.unread", error=error.message)

Each request logs two events, and each process imports this: a general logging library takes 8 MB, 0.1 seconds at the
start, and twice the time for each event.

Every function takes the name of the event and its fields as keywords. `exc_info`, an exception or True for the current
one, adds a traceback. The field `level` replaces the level: `trace` is lower than `debug`.
"""

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

Fields: TypeAlias = dict[str, object]
"""The fields of an event. `event` is its name."""

Write: TypeAlias = Callable[[str, Fields], None]
"""Takes the level of an event, and its fields, which it may change."""

RANKS: Mapping[str, int] = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""Levels by name. Code logs at `trace` with `log.debug(..., level="trace")`."""

_DEBUG, _INFO = RANKS["debug"], RANKS["info"]


def _write_plainly(level: str, fields: Fields) -> None:
    """Write an event of a process that has not configured its log."""
    exc_info = fields.pop("exc_info", None)
    shown = " ".join(f"{name}={value!r}" for name, value in fields.items() if name != "event")
    sys.stderr.write(f"{level} {fields['event']} {shown}\n")
    if text := format_exception(exc_info):
        sys.stderr.write(f"{text}\n")


@dataclass(slots=True)
class _Log:
    write: Write
    lowest: int


_log = _Log(_write_plainly, RANKS["error"])
"""Where the events of this process go. A command that shows results of its own does not configure its log."""


def configure(write: Write, lowest: int) -> None:
    """Set where events go.

    Args:
        write: Takes the events.
        lowest: The rank of the lowest level that `write` wants. Those below `debug` count as `debug`.
    """
    _log.write, _log.lowest = write, max(lowest, _DEBUG)


@contextmanager
def redirected(write: Write, lowest: int = _DEBUG) -> Iterator[None]:
    """Send events elsewhere until the context ends."""
    before = _log.write, _log.lowest
    configure(write, lowest)
    try:
        yield
    finally:
        configure(*before)


def debug(event: str, /, **fields: object) -> None:
    """Log what only helps to find a fault."""
    if _log.lowest <= _DEBUG:
        _log.write("debug", {"event": event, **fields})


def info(event: str, /, **fields: object) -> None:
    """Log what happens as it should. It contains facts, and no text that people wrote."""
    if _log.lowest <= _INFO:
        _log.write("info", {"event": event, **fields})


def warning(event: str, /, **fields: object) -> None:
    """Log what an operator may have to change."""
    at("warning", event, **fields)


def error(event: str, /, **fields: object) -> None:
    """Log a fault."""
    at("error", event, **fields)


def exception(event: str, /, **fields: object) -> None:
    """Log a fault with the traceback of the current exception."""
    at("error", event, **{"exc_info": True, **fields})


def at(level: str, event: str, /, **fields: object) -> None:
    """Log at a level that is chosen at run time."""
    if _log.lowest <= RANKS[level]:
        _log.write(level, {"event": event, **fields})


def format_exception(exc_info: object) -> str:
    """Return a traceback, without a line end.

    Args:
        exc_info: An exception, the triple of `sys.exc_info`, or True for the current one. Anything else has none.
    """
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    if not isinstance(exc_info, BaseException):
        return ""
    return "".join(traceback.format_exception(exc_info)).rstrip("\n")
