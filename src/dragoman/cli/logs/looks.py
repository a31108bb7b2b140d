"""How an event looks to people: in `serve` at a terminal, and in `dragoman logs`."""

import json
from collections.abc import Callable, Mapping

import click
from structlog.typing import EventDict

from dragoman.cli.terminal.colours import wanted

_REFUSED = 400
_COLOURS = {"debug": "blue", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}
_APART = frozenset({"time", "level", "event", "exception"})

Look = Callable[[Mapping[str, object]], str]


def in_full(event: Mapping[str, object]) -> str:
    """A line with every fact, and the traceback below it."""
    when, level = str(event["time"])[:19].replace("T", " "), str(event["level"])
    told = "  ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _APART)
    line = f"{when} {click.style(f'{level:8}', fg=_COLOURS.get(level))}{_shown(event['event']):20} {told}".rstrip()
    return f"{line}\n{_lines(str(event['exception']))}" if "exception" in event else line


def in_short(event: Mapping[str, object]) -> str:
    """A request as a short line, everything else in full."""
    if event["event"] != "http.request":
        return in_full(event)
    status = int(str(event["status"]))
    asked = " ".join(_shown(event[key]) for key in ("method", "path", "model", "error") if key in event)
    coloured = click.style(str(status), fg="red" if status >= _REFUSED else "green")
    return f"{str(event['time'])[11:19]} {coloured} {asked} {float(str(event['ms'])):.0f} ms"


def rendered(look: Look) -> Callable[[EventDict], bytes]:
    """What is written to this process's terminal."""
    if wanted():
        return lambda event: look(event).encode()
    return lambda event: click.unstyle(look(event)).encode()


def _shown(value: object) -> str:
    """A value on one line. What clients write may hold what a terminal obeys: it is shown, not done."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, separators=(",", ":"))


def _lines(text: str) -> str:
    return "\n".join(line if line.isprintable() else _shown(line) for line in text.expandtabs(4).splitlines())
