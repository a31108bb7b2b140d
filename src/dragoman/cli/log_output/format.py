"""Log events as text for people: in `dragoman serve` on a terminal, and in `dragoman logs`."""

import json
from collections.abc import Callable, Mapping

import click

_FIRST_ERROR_STATUS = 400
_COLORS = {"debug": "blue", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}
_SHOWN_FIRST = frozenset({"time", "level", "event", "exception"})

Format = Callable[[Mapping[str, object]], str]


def format_full(event: Mapping[str, object]) -> str:
    """Format an event as a line with all its fields. A traceback follows on lines of its own."""
    when, level = str(event["time"])[:19].replace("T", " "), str(event["level"])
    fields = "  ".join(f"{key}={_value(value)}" for key, value in event.items() if key not in _SHOWN_FIRST)
    line = f"{when} {click.style(f'{level:8}', fg=_COLORS.get(level))}{_value(event['event']):20} {fields}".rstrip()
    return f"{line}\n{_traceback(str(event['exception']))}" if "exception" in event else line


def format_minimal(event: Mapping[str, object]) -> str:
    """Format a request as a short line, and any other event in full."""
    if event["event"] != "http.request":
        return format_full(event)
    status = int(str(event["status"]))
    request = " ".join(_value(event[key]) for key in ("method", "path", "model", "error") if key in event)
    styled = click.style(str(status), fg="red" if status >= _FIRST_ERROR_STATUS else "green")
    return f"{str(event['time'])[11:19]} {styled} {request} {float(str(event['ms'])):.0f} ms"


def _value(value: object) -> str:
    """Return a value on one line. Control characters from clients are escaped, so a terminal does not obey them."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, separators=(",", ":"))


def _traceback(text: str) -> str:
    return "\n".join(line if line.isprintable() else _value(line) for line in text.expandtabs(4).splitlines())
