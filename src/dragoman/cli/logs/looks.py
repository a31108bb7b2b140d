"""How an event looks to people at a terminal."""

from collections.abc import Callable

import structlog
from structlog.typing import EventDict

_REFUSED = 400
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def in_full() -> Callable[[EventDict], bytes]:
    """Coloured lines with every fact. Tracebacks are plain: richer renderers would show the values of variables."""
    render = structlog.dev.ConsoleRenderer(timestamp_key="time", exception_formatter=structlog.dev.plain_traceback)
    return lambda event: str(render(None, event["level"], dict(event))).encode()


def in_short() -> Callable[[EventDict], bytes]:
    """A request as a short line, everything else in full."""
    full = in_full()
    return lambda event: _request(event).encode() if event["event"] == "http.request" else full(event)


def _request(event: EventDict) -> str:
    status = int(event["status"])
    colour = _RED if status >= _REFUSED else _GREEN
    asked = " ".join(str(event[key]) for key in ("method", "path", "model", "error") if key in event)
    return f"{event['time'][11:19]} {colour}{status}{_PLAIN} {asked} {event['ms']:.0f} ms"
