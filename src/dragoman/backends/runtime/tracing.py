"""What passes between us and a runtime process, for the log at debug and trace."""

from typing import cast

import structlog

from dragoman.backends.processes import Process
from dragoman.messages import JSON, JSONObject

log = structlog.get_logger("dragoman.runtime")


def trace_process(process: Process) -> None:
    """Log all that it says from now on. Its reader must have been set before."""
    read = process.on_frame

    def read_aloud(frame: JSONObject) -> None:
        log.debug("runtime.message", level="trace", pid=process.pid, frame=_shown(frame))
        read(frame)

    process.on_frame = read_aloud


def log_start(process: Process, argv: list[str]) -> None:
    """Log a start, and what the process will write to stderr. Its environment, which holds the key, is not logged."""
    log.debug("runtime.started", pid=process.pid, argv=argv)
    process.on_complaint = lambda lines: log.debug("runtime.stderr", pid=process.pid, lines=lines)


def _shown(frame: JSONObject) -> JSON:
    """A frame; a piece of an answer by its kind alone, since half a secret would not be known for one."""
    event = frame.get("event")
    if not isinstance(event, dict) or event.get("type") != "content_block_delta":
        return frame
    delta = cast("JSONObject", event.get("delta") or {})
    return {"type": frame.get("type"), "event": {**event, "delta": {"type": delta.get("type")}}}
