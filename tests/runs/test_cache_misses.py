"""The reason of each cache miss: which part of a prompt has changed since the last turn of its conversation."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from dragoman.core.events import MessageStart
from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.runs.cache_misses import CacheMisses
from dragoman.runs.prompt_parts import CacheUse
from dragoman.runs.run import Run

MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
FIRST: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "tools": [{"name": "read", "input_schema": {}}, {"name": "write", "input_schema": {}}],
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "One"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "1"}]},
        {"role": "user", "content": [{"type": "text", "text": "Two"}]},
    ],
}


def text(words: str, role: str = "user", **more: object) -> dict[str, Any]:
    """Return a message."""
    return {"role": role, "content": [{"type": "text", "text": words, **more}]}


def turn(**changes: object) -> dict[str, Any]:
    """Return the second turn of the conversation."""
    body = copy.deepcopy(FIRST)
    body["messages"] += [text("2", "assistant"), text("Three")]
    return body | changes


def sent(
    misses: CacheMisses,
    body: Mapping[str, object],
    *,
    read: int = 0,
    written: int = 5000,
    at: float = 0.0,
    upstream: str | None = None,
    **usage: object,
) -> CacheUse | None:
    """Send a body, end its run, and return what was found."""
    run = Run("ann", "claude-opus-5-5")
    run.upstream = upstream
    run.mark_sent(cast("MessagesRequest", body))
    run.sent_at = at
    counted = {"input_tokens": 10, "cache_read_input_tokens": read, "cache_creation_input_tokens": written, **usage}
    run.calls.add(MessageStart({"type": "message_start", "message": {"usage": cast("JSONObject", counted)}}))
    before = misses.use_of(run)
    misses.note(run)
    assert before == run.cache_use
    return run.cache_use


def miss(body: Mapping[str, object], **how: Any) -> tuple[str | None, str]:
    """Return reason and part of a turn that reads nothing after the first one."""
    misses = CacheMisses()
    sent(misses, FIRST)
    use = sent(misses, body, **how)
    assert use is not None
    assert (use.read, use.expected) == (0, 5000)
    return use.reason, use.part


def changed(path: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the second turn after a change."""
    body = turn()
    path(body)
    return body


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (turn(model="claude-sonnet-5-5"), ("model", "model")),
        (changed(lambda body: body["tools"].reverse()), ("tools", "tools[0]")),
        (changed(lambda body: body["tools"].pop()), ("tools", "tools[1]")),
        (changed(lambda body: body.pop("tools")), ("tools", "tools[0]")),
        (turn(system=[{"type": "text", "text": "It is 12:01."}]), ("system", "system[0]")),
        (turn(tool_choice={"type": "none"}), ("options", "tool_choice")),
        (changed(lambda body: body["messages"].__setitem__(0, text("1?"))), ("message", "messages[0]")),
        (changed(lambda body: body["messages"].__setitem__(1, text("one", "assistant"))), ("message", "messages[1]")),
        (changed(lambda body: body["messages"].pop(2)), ("message", "messages[2]")),
        (turn(), ("unknown", "")),
    ],
)
def test_the_first_changed_part(body: dict[str, Any], found: tuple[str, str]) -> None:
    """Each part of a prompt is the reason if it differs from the turn before, in the order in which Claude reads it."""
    assert miss(body) == found


def test_another_account() -> None:
    """A turn at another upstream cannot read what the first has cached."""
    assert miss(turn(), upstream="second") == ("account", "second")


@pytest.mark.parametrize(("seconds", "reason"), [(299.0, "unknown"), (301.0, "expired")])
def test_time(seconds: float, reason: str) -> None:
    """A prompt stays in the cache for five minutes."""
    assert miss(turn(), at=seconds) == (reason, "")


def test_an_hour() -> None:
    """A prompt that was cached for an hour stays there for that time, also if turns in between only read it."""
    misses = CacheMisses()
    sent(misses, FIRST, cache_creation={"ephemeral_1h_input_tokens": 5000})
    sent(misses, FIRST, read=5000, written=0, at=3000.0)
    assert (use := sent(misses, turn(), at=6500.0))
    assert use.reason == "unknown"
    assert (use := sent(misses, turn(), at=10_500.0))
    assert use.reason == "expired"


def test_a_hit_has_no_reason() -> None:
    """A turn that reads all that the turn before has cached has no reason, whatever has changed."""
    misses = CacheMisses()
    assert sent(misses, FIRST) == CacheUse(0, None, "first_turn")
    assert sent(misses, turn(), read=5000, written=100, at=1.0) == CacheUse(5000, 5000, age=1.0)
    assert sent(misses, turn(), read=4000, at=2.0) == CacheUse(4000, 5100, "unknown", age=1.0)


def test_marks() -> None:
    """Marks do not count as changes, but one must be behind what was cached, and at most 20 blocks behind."""
    first = copy.deepcopy(FIRST)
    first["messages"][2] = text("Two", **MARK)

    def marked(added: int) -> dict[str, Any]:
        body = copy.deepcopy(FIRST)
        body["messages"] += [text(str(number)) for number in range(added)] + [text("end", **MARK)]
        return body

    moved = turn(system=[{"type": "text", "text": "Be brief.", **MARK}])
    for body, reason in ((marked(19), "unknown"), (marked(20), "mark"), (moved, "mark")):
        misses = CacheMisses()
        sent(misses, first)
        use = sent(misses, body)
        assert use is not None
        assert use.reason == reason


def test_nested_marks_are_no_change() -> None:
    """A mark inside of a tool's result is no difference, nor is a message that is known from earlier requests."""
    misses = CacheMisses()
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "found"}]}
    marked = copy.deepcopy(result)
    marked["content"][0] |= MARK  # type: ignore[index, operator] # a list of objects
    known = KnownMessage("user", [cast("JSONObject", result)])
    sent(misses, FIRST | {"messages": [*FIRST["messages"], {"role": "user", "content": [marked]}]})
    assert (use := sent(misses, FIRST | {"messages": [*FIRST["messages"], known, text("on")]}))
    assert use.reason == "mark"
    assert known.digest is not None


def test_a_changed_first_message_is_found() -> None:
    """A conversation whose first message changes is found by its last messages."""
    misses = CacheMisses()
    sent(misses, FIRST)
    body = changed(lambda body: body["messages"].__setitem__(0, text("Now it is 12:01. One")))
    assert (use := sent(misses, body))
    assert (use.reason, use.part) == ("message", "messages[0]")


def test_conversations_with_the_same_beginning() -> None:
    """Of several turns with the same first message, the one with the most messages in common is compared."""
    misses = CacheMisses()
    other = copy.deepcopy(FIRST)
    other["messages"][2] = text("Another question")
    sent(misses, FIRST, written=5000)
    sent(misses, other, written=6000)
    assert (use := sent(misses, turn(), read=5000))
    assert (use.expected, use.reason) == (5000, None)


def test_models_by_turns() -> None:
    """Each model has its own cache: a turn is compared with the last one of the same model, if there is one."""
    misses = CacheMisses()
    sent(misses, FIRST)
    assert (use := sent(misses, FIRST | {"model": "claude-sonnet-5-5"}))
    assert use.reason == "model"
    assert (use := sent(misses, turn(), read=5000))
    assert (use.expected, use.reason) == (5000, None)


def test_clients_and_small_prompts() -> None:
    """A client's turns are compared with its own only. Prompts that are too small to be cached are not compared."""
    misses = CacheMisses()
    sent(misses, FIRST)
    run = Run("bob", "claude-opus-5-5")
    run.mark_sent(cast("MessagesRequest", turn()))
    run.calls.add(MessageStart({"message": {"usage": {"cache_creation_input_tokens": 5000}}}))
    assert misses.use_of(run) == CacheUse(0, None, "first_turn")
    assert sent(misses, turn(), written=0) is None
    failed = Run("ann", "claude-opus-5-5")
    failed.mark_sent(cast("MessagesRequest", turn()))
    misses.note(failed)
    assert failed.cache_use is None


def test_memory_is_bounded() -> None:
    """The oldest conversations are forgotten."""
    misses = CacheMisses()
    sent(misses, FIRST)
    for number in range(1100):
        sent(misses, FIRST | {"messages": [text(str(number))]})
    assert (use := sent(misses, turn()))
    assert use.reason == "first_turn"
