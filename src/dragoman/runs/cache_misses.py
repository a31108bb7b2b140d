"""Why Claude read less of a prompt from its cache than it could have: found by comparing what was sent.

The turns of the newest conversations are kept as hashes. When Claude has counted a prompt, it is compared with the turn
before: what that turn has put into the cache should be read now. If it is not, the first difference is the reason.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from dragoman.core.messages import JSONObject
from dragoman.core.usage_counts import UsageCounts, counts_of
from dragoman.core.value_object import value_object
from dragoman.runs.prompt_parts import CacheUse, PromptParts, common, message_hashes
from dragoman.runs.run import Run

_MAX_KEYS = 1000
"""Conversations have one or two."""
_MAX_TURNS = 4
"""Turns with the same first message that are kept: each may be of another conversation."""
_MIN_PROMPT_TOKENS = 1024
"""No model caches a smaller prompt."""
_MAX_MESSAGES = 10_000
_MAX_NEW_MESSAGES = 12
"""Messages that a turn may add to be found by its end."""
_LIFETIME = 300.0
_LONG_LIFETIME = 3600.0


@value_object
class _Turn:
    """One turn of a conversation.

    Attributes:
        parts: Its prompt.
        upstream: Where it was sent.
        cached: Tokens of it that are in the cache.
        lifetime: Seconds for which they stay there after their last use.
        at: When it was sent, in monotonic seconds.
    """

    parts: PromptParts
    upstream: str | None
    cached: int
    lifetime: float
    at: float


class CacheMisses:
    """Finds the reason of each cache miss."""

    def __init__(self) -> None:
        self._turns: OrderedDict[int, tuple[_Turn, ...]] = OrderedDict()

    def use_of(self, run: Run) -> CacheUse | None:
        """Return what a run has read from the cache; None if Claude has not counted its prompt, or it is too small."""
        self.note(run)
        return run.cache_use

    def note(self, run: Run) -> None:
        """Find the reason, and keep the prompt as the newest turn of its conversation. Only the first call does so."""
        if run.cache_use is None and (turn := self._find(run)):
            self._keep(run.client, turn)

    def _find(self, run: Run) -> _Turn | None:
        """Compare a run with the turn before it. Return it as a turn; None if it has put nothing in the cache."""
        body, counts = run.sent_body, _counts(run)
        if body is None or counts is None or len(body["messages"]) > _MAX_MESSAGES:
            return None
        messages = message_hashes(body["messages"])
        before = self._turn_before(run.client, body["model"], messages)
        is_hit = before is not None and counts.cache_read_input_tokens >= before.cached
        parts = PromptParts.of(body, messages, before.parts if before and is_hit else None)
        run.cache_use = _compare(run, parts, counts, before)
        if not counts.cached:
            return None
        lifetime = _lifetime(counts, before.lifetime if before else _LIFETIME)
        return _Turn(parts, run.upstream, counts.cached, lifetime, run.sent_at)

    def _turn_before(self, client: str, model: str, messages: tuple[int, ...]) -> _Turn | None:
        """Return the turn with the most messages in common: the newest, if there are several.

        Each model has a cache of its own, so a turn that was sent to the same model comes first.
        """
        turns = self._turns.get(_first_key(client, messages)) or ()
        if not turns:
            ends = range(len(messages), max(1, len(messages) - _MAX_NEW_MESSAGES), -1)
            turns = next(filter(None, (self._turns.get(_end_key(client, messages[:end])) for end in ends)), ())

        def nearness(turn: _Turn) -> tuple[bool, int, float]:
            return turn.parts.model == model, common(messages, turn.parts.messages), turn.at

        return max(turns, key=nearness, default=None)

    def _keep(self, client: str, turn: _Turn) -> None:
        messages = turn.parts.messages
        for key in (_first_key(client, messages), _end_key(client, messages)):
            others = [
                other
                for other in self._turns.get(key, ())
                if other.parts.model != turn.parts.model
                or common(messages, other.parts.messages) < len(other.parts.messages)
            ]
            self._turns[key] = (*others[1 - _MAX_TURNS :], turn)
            self._turns.move_to_end(key)
        while len(self._turns) > _MAX_KEYS:
            self._turns.popitem(last=False)


def _compare(run: Run, parts: PromptParts, counts: UsageCounts, before: _Turn | None) -> CacheUse:
    read = counts.cache_read_input_tokens
    if before is None:
        return CacheUse(read, None, None if read or not counts.cached else "first_turn")
    age = run.sent_at - before.at
    if read >= before.cached:
        return CacheUse(read, before.cached, age=age)
    if before.upstream != run.upstream:
        return CacheUse(read, before.cached, "account", run.upstream or "", age)
    if difference := parts.difference(before.parts):
        return CacheUse(read, before.cached, difference.reason, difference.part, age)
    return CacheUse(read, before.cached, "expired" if age > before.lifetime else "unknown", "", age)


def _lifetime(counts: UsageCounts, before: float) -> float:
    """Return the seconds for which a prompt stays in the cache: those of the turn before, if it was only read."""
    _, for_an_hour = counts.cache_writes()
    if for_an_hour:
        return _LONG_LIFETIME
    return before if counts.cache_creation_input_tokens == 0 else _LIFETIME


def _first_key(client: str, messages: Sequence[int]) -> int:
    return hash((client, messages[0]))


def _end_key(client: str, messages: tuple[int, ...]) -> int:
    """Return the key of the last two messages at their place: it finds a conversation whose first message changes."""
    return hash((client, len(messages), messages[-2:]))


def _counts(run: Run) -> UsageCounts | None:
    """Return what Claude has counted of the first call of a run, unless its prompt is too small for the cache."""
    if not run.calls.usages:
        return None
    counts = counts_of(cast("JSONObject", run.calls.usages[0]))
    return counts if counts.cached + counts.input_tokens >= _MIN_PROMPT_TOKENS else None
