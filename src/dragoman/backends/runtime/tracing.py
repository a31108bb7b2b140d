"""What passes between us and a runtime process, for the log at debug and trace."""

import structlog

from dragoman.backends.claude_code.written import without_pieces
from dragoman.backends.processes import Process
from dragoman.messages import JSONObject

log = structlog.get_logger("dragoman.runtime")


def trace_process(process: Process) -> None:
    """Log all that it says from now on. Its reader must have been set before."""
    read = process.on_frame

    def read_aloud(frame: JSONObject) -> None:
        log.debug("runtime.message", level="trace", pid=process.pid, frame=without_pieces(frame))
        read(frame)

    process.on_frame = read_aloud


def log_start(process: Process, argv: list[str]) -> None:
    """Log a start, and what the process will write to stderr. Its environment, which holds the key, is not logged."""
    log.debug("runtime.started", pid=process.pid, argv=argv)
    process.on_complaint = lambda lines: log.debug("runtime.stderr", pid=process.pid, lines=lines)
