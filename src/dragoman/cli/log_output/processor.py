"""The log processor: adds the time, removes secrets, and writes each event to its destinations."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import msgspec

from dragoman.core.log import RANKS, Fields, format_exception
from dragoman.core.redaction import Redactor
from dragoman.core.value_object import value_object

_INFO = RANKS["info"]
_MAX_CACHED_LENGTH, _MAX_CACHED_TEXTS = 200, 4096
_ID_PREFIXES = frozenset({"req_", "run_"})
"""Of the ids of requests and runs."""
_WITHOUT_TEXT = frozenset({int, float, bool, dict, type(None)})
_encode = msgspec.json.Encoder(enc_hook=repr).encode


@value_object
class Destination:
    """A place that receives log lines.

    Attributes:
        rank: The lowest level that is written, as in `RANKS`.
        write: Takes one line.
        flush: Writes all lines at once, if `write` only queues them. Called after each warning and error.
        render: Formats an event. None: JSON.
        requests_only: Write only requests, warnings and errors.
    """

    rank: int
    write: Callable[[bytes], None]
    flush: Callable[[], None] | None = None
    render: Callable[[Fields], bytes] | None = None
    requests_only: bool = False

    def accepts(self, event: Fields, rank: int) -> bool:
        """Return whether an event of this level is written here."""
        if rank < self.rank:
            return False
        return not self.requests_only or rank > _INFO or event["event"] == "http.request"


class LogProcessor:
    """Writes each event; see `dragoman.core.log.configure`.

    Events at `info` contain facts and no text of clients. Their values repeat, so each text is checked for secrets only
    once. Events of all other levels are searched in full.
    """

    def __init__(self, redactor: Redactor, destinations: Sequence[Destination]) -> None:
        self._redactor = redactor
        self._destinations = destinations
        self._known_safe: set[str] = set()
        self._clock = _Clock()

    def __call__(self, level: str, fields: Fields) -> None:
        """Write one event."""
        level = str(fields.pop("level", level))
        rank = RANKS[level]
        facts = {key: value for key, value in fields.items() if value is not None}
        facts["level"] = level
        if rank != _INFO or "exc_info" in facts or not self._are_safe(facts.values()):
            if exception := format_exception(facts.pop("exc_info", None)):
                facts["exception"] = exception
            facts = self._redact(facts)
        facts["time"] = self._clock()
        line = _encode(facts)
        for destination in self._destinations:
            if destination.accepts(facts, rank):
                destination.write(destination.render(facts) if destination.render else line)
                if rank > _INFO and destination.flush is not None:
                    destination.flush()

    def _are_safe(self, values: Iterable[object]) -> bool:
        """Return whether no value can contain a secret. Numbers and the gateway's own ids cannot."""
        known_safe = self._known_safe
        for value in values:
            if type(value) is str:
                if value in known_safe or (value[:4] in _ID_PREFIXES and value[4:].isalnum()):
                    continue  # an id is new each time: remembering it is useless
                if not self._check(value):
                    return False
            elif type(value) not in _WITHOUT_TEXT and not self._is_safe(value):
                return False
        return True

    def _is_safe(self, value: object) -> bool:
        """Return the same of a value of a rarer type."""
        if isinstance(value, str):
            return self._are_safe((str(value),))
        return not isinstance(value, (list, tuple)) or self._are_safe(value)

    def _check(self, text: str) -> bool:
        """Return whether a text contains no secret. Remember it if so."""
        if len(text) > _MAX_CACHED_LENGTH or self._redactor.text(text) != text:
            return False
        if len(self._known_safe) >= _MAX_CACHED_TEXTS:
            self._known_safe.clear()
        self._known_safe.add(text)
        return True

    def _redact(self, facts: Fields) -> Fields:
        """Remove secrets. Objects are converted to JSON first, so that nothing is hidden inside them."""
        return cast("Fields", self._redactor.data(msgspec.to_builtins(facts, enc_hook=repr, str_keys=True)))


class _Clock:
    """Formats the current time. The text is built once a second; only the fraction changes in between."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def __call__(self) -> str:
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{nanoseconds // 1000:06d}Z"
