"""How an event looks to people: in `serve` at a terminal, and in `dragoman logs`.

The end of every event's way: times, levels and secrets are seen to, and each place gets its line.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import click
import msgspec
import structlog
from structlog.typing import EventDict

from dragoman.cli.terminal import wanted
from dragoman.core.redaction import Redactor

_REFUSED = 400
_COLOURS = {"debug": "blue", "info": "green", "warning": "yellow", "error": "red", "critical": "red"}
_APART = frozenset({"time", "level", "event", "exception"})

Format = Callable[[Mapping[str, object]], str]


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


def rendered(look: Format) -> Callable[[EventDict], bytes]:
    """What is written to this process's terminal."""
    if wanted():
        return lambda event: look(event).encode()
    return lambda event: click.unstyle(look(event)).encode()


def _shown(value: object) -> str:
    """A value on one line. What clients write may hold what a terminal obeys: it is shown, not done."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value, separators=(",", ":"))


def _lines(text: str) -> str:
    return "\n".join(line if line.isprintable() else _shown(line) for line in text.expandtabs(4).splitlines())


RANKS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""Levels by their weight. `trace` is logged by `log.debug(…, level="trace")`."""

_INFO = RANKS["info"]
_LONGEST_WORD, _MOST_WORDS = 200, 4096
_encode = msgspec.json.Encoder(enc_hook=repr).encode
_IDS = frozenset({"req_", "run_"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where lines go.

    Attributes:
        rank: The least weight that is written.
        write: Takes a line.
        render: What an event looks like there; JSON if this is left out.
        requests_alone: Whether requests, and what went wrong, is all that is wanted there.
    """

    rank: int
    write: Callable[[bytes], None]
    render: Callable[[EventDict], bytes] | None = None
    requests_alone: bool = False

    def wants(self, event: EventDict, rank: int) -> bool:
        """Whether an event is to be written there."""
        if rank < self.rank:
            return False
        return not self.requests_alone or rank > _INFO or event["event"] == "http.request"


class LogProcessor:
    """The only processor of the log.

    An event at info holds facts, and nothing that people write: its words are the same ones again and again, so each is
    searched for secrets once. Events of all other levels are searched to the bottom.
    """

    def __init__(self, redactor: Redactor, places: Sequence[Place]) -> None:
        self._redactor = redactor
        self._places = places
        self._harmless: set[str] = set()
        self._clock = _Clock()

    def __call__(self, _logger: object, method: str, event: EventDict) -> str:
        """Write one event.

        Raises:
            DropEvent: Always: nothing is left to do.
        """
        level = event.pop("level", method)
        rank = RANKS[level]
        facts: EventDict = {key: value for key, value in event.items() if value is not None}
        facts["level"] = level
        if rank != _INFO or "exc_info" in facts or not self._all_harmless(facts.values()):
            facts = self._searched(structlog.processors.format_exc_info(None, method, facts))
        facts["time"] = self._clock()
        line = _encode(facts)
        for place in self._places:
            if place.wants(facts, rank):
                place.write(place.render(facts) if place.render else line)
        raise structlog.DropEvent

    def _all_harmless(self, values: Iterable[object]) -> bool:
        """Whether no secret can stand in these. Figures hold none, nor do our own ids."""
        for value in values:
            if isinstance(value, str):
                if value not in self._harmless and not _is_id(value) and not self._learn(value):
                    return False
            elif isinstance(value, (list, tuple)) and not self._all_harmless(value):
                return False
        return True

    def _learn(self, word: str) -> bool:
        if len(word) > _LONGEST_WORD or self._redactor.text(word) != word:
            return False
        if len(self._harmless) >= _MOST_WORDS:
            self._harmless.clear()
        self._harmless.add(word)
        return True

    def _searched(self, facts: EventDict) -> EventDict:
        """Without secrets. Objects are taken as their JSON first, so that nothing hides inside them."""
        return cast("EventDict", self._redactor.data(msgspec.to_builtins(facts, enc_hook=repr, str_keys=True)))


class _Clock:
    """Writes the time; what is the same for a whole second is written once."""

    def __init__(self) -> None:
        self._second = 0
        self._written = ""

    def __call__(self) -> str:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._written = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._written}.{nanoseconds // 1000:06d}Z"


def _is_id(word: str) -> bool:
    """Whether this is an id of a request or a run, as we make them: new each time, and not worth learning."""
    return word[:4] in _IDS and word[4:].isalnum()
