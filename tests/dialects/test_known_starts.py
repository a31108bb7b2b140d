"""Requests that begin as earlier ones did: they are read only from there on, and give the same."""

import json
from typing import Any

import pytest
from chat_strategies import chats, fields, tool_fields
from chat_support import WEATHER
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exact import assert_same as assert_same_chat
from test_exact import disturbed
from test_known_messages import assert_same as assert_same_message
from test_known_messages import messages as any_messages

from dragoman.core.known_message import KnownMessage
from dragoman.dialects.chat.messages import PlainMessage
from dragoman.dialects.chat.plain import KnownParts, decode_parts
from dragoman.dialects.messages.known import KnownMessages, parse_parts
from dragoman.dialects.shared.json_types import JSON, JSONObject
from dragoman.dialects.shared.known_starts import MARK, MAX_START_BYTES, KnownStarts

_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":\t")])
_SYSTEM: JSONObject = {"role": "system", "content": "Be brief."}


def _turns(count: int, words: str = "and then ") -> list[JSON]:
    """Return messages of an agent: prompts, calls, results, responses."""
    turns: list[JSON] = []
    for number in range(0, count, 4):
        call: JSON = {"id": f"c{number}", "function": {"name": "f", "arguments": '{"a": 1}'}}
        turns += [
            {"role": "user", "content": f"{words * 20}{number}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": words * 20},
            {"role": "assistant", "content": "Done."},
        ]
    return turns[:count]


def _chat(messages: list[JSON], **more: JSON) -> bytes:
    return json.dumps({"model": "claude-opus-5", "messages": messages, "tools": [WEATHER], **more}).encode()


def _eager_chats() -> KnownParts:
    """Return known parts that keep the start of each request."""
    return KnownParts(KnownStarts(MAX_START_BYTES, min_messages=1, step=16))


def _eager_messages() -> KnownMessages:
    return KnownMessages(KnownStarts(MAX_START_BYTES, min_messages=1, step=16))


@pytest.mark.no_cover
@settings(max_examples=80)
@given(st.data(), chats, chats, fields, tool_fields(), _SEPARATORS)
def test_any_chat_gives_the_same(
    data: st.DataObject,
    messages: list[JSON],
    more: list[JSON],
    given_fields: dict[str, Any],
    tools: dict[str, Any],
    separators: tuple[str, str],
) -> None:
    """It grows, a part of it changes, and it is sent again."""
    known = _eager_chats()
    before: list[JSON] = data.draw(st.sampled_from([[], [_SYSTEM]]))
    for sent in (messages, [*messages, *more], data.draw(disturbed([*messages, *more])), messages[:-1]):
        body = {"model": "claude-opus-5", "messages": [*before, *sent], **given_fields, **tools}
        assert_same_chat(json.dumps(body, separators=separators).encode(), known)


@pytest.mark.no_cover
@settings(max_examples=150)
@given(st.lists(any_messages, max_size=5), st.lists(any_messages, max_size=3), _SEPARATORS)
def test_any_request_of_the_messages_api_gives_the_same(
    messages: list[JSON], more: list[JSON], separators: tuple[str, str]
) -> None:
    """It grows, is sent again, and another one begins as it did."""
    known = _eager_messages()
    for sent in (messages, [*messages, *more], [*messages, *more[::-1]], messages[:-1], more):
        body = {"model": "claude-opus-5", "max_tokens": 9, "messages": sent, "system": "s"}
        assert_same_message(json.dumps(body, separators=separators).encode(), known)


@pytest.mark.parametrize("before", [[], [_SYSTEM], [_SYSTEM, {"role": "developer", "content": "Be kind."}]])
def test_the_next_turn_of_a_chat_is_read_from_its_new_messages_on(before: list[JSON]) -> None:
    """And the turn after that one from there. What was built of the messages is not built again."""
    known, turns = KnownParts(), _turns(40)
    for count in (30, 31, 33, 40):
        raw = _chat([*before, *turns[:count]])
        assert_same_chat(raw, known)
        start = known.starts.find(raw)
        assert start is not None
        assert (start.run.first, start.run.end) == (len(before), len(before) + count - 1)
        assert len(start.shorten(raw)) < len(raw) // 3
        assert start.run.built is not None
    decoded = decode_parts(_chat([*before, *turns]), known)
    assert decoded is not None
    assert all(type(one) is PlainMessage for one in decoded.messages[len(before) :])


def test_the_next_turn_of_the_messages_api_is_read_from_its_new_messages_on() -> None:
    """Its known messages are those of the turn before."""
    known, turns = KnownMessages(), _talk(40)
    first = parse_parts(_message(turns[:30]), known)
    raw = _message(turns)
    start = known.starts.find(raw)
    assert start is not None
    assert (start.run.first, start.run.end) == (0, 29)
    assert_same_message(raw, known)
    second = parse_parts(raw, known)
    assert first is not None
    assert second is not None
    assert isinstance(first["messages"], list)
    assert isinstance(second["messages"], list)
    assert all(one is other for one, other in zip(first["messages"][:29], second["messages"], strict=False))
    assert all(type(one) is KnownMessage for one in second["messages"])


@pytest.mark.parametrize(
    "end",
    [
        b', "messages": [{"role": "user", "content": "Other"}]}',
        b', "\\u006dessages": [{"role": "user", "content": "Other"}]}',
        b', "messages": []}',
        b', "messages": 7}',
        b', "temperature": 1, "temperature": 0.5}',
        b"}",
        b"",
    ],
)
def test_the_rest_of_a_request_may_be_anything(end: bytes) -> None:
    """Fields that come twice count as in the long way, and what is no JSON is refused as in full."""
    turns = _turns(40)
    for sent in ([], turns[:1], turns[:2]):
        chats_known, messages_known = KnownParts(), KnownMessages()
        full = _chat(turns)
        assert_same_chat(full, chats_known)
        more = b"".join(b", " + json.dumps(one).encode() for one in sent)
        begin = full[: full.rfind(b", ", 0, full.index(b'{"role": "assistant", "content": "Done."}', 5000))]
        assert_same_chat(begin + more + b"]" + end, chats_known)
        full = _message(_talk(40))
        assert_same_message(full, messages_known)
        more = b"".join(b", " + json.dumps(one).encode() for one in _talk(len(sent)))
        begin = full[: full.rfind(b', {"role"')]
        assert_same_message(begin + more + b"]" + end, messages_known)


def test_a_start_ends_where_a_message_ends() -> None:
    """The last message is found by its bytes. They may come again behind the messages, or in fields that come twice."""
    turns = _talk(40)
    last = json.dumps(turns[-1]).encode()
    full = _message(turns)
    twice = full[:-1] + b', "metadata": {"a": [1, ' + last + b", 2]}}"
    repeated = full[:-1] + b', "messages": ' + json.dumps(turns).encode() + b"}"
    for raw in (twice, repeated):
        known = KnownMessages()
        for sent in (raw, raw.replace(b"1, {", b"2, {"), full, repeated, twice):
            assert_same_message(sent, known)


def test_no_client_can_send_the_mark() -> None:
    """It is another number in each process, and larger than any that a client would send by chance."""
    assert int(MARK) > 2**62


@pytest.mark.parametrize("part", range(10))
def test_a_start_is_found_by_all_of_its_bytes(part: int) -> None:
    """Samples only say where to look. Another word anywhere makes another conversation."""
    known, raw = KnownParts(), _chat(_turns(40))
    assert_same_chat(raw, known)
    assert known.starts.find(raw) is not None
    at = raw.index(b"and", len(raw) * part // 12)
    other = raw[:at] + b"AND" + raw[at + 3 :]
    assert known.starts.find(other) is None
    assert_same_chat(other, known)


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5"])
@pytest.mark.parametrize("before", [[], [_SYSTEM]])
def test_what_comes_behind_a_start_is_placed_by_what_is_in_it(before: list[JSON], model: str) -> None:
    """Instructions, further messages of one role, results that are missing, calls with an id that was used."""
    turns = _turns(40)
    user: JSON = {"role": "user", "content": "And now?"}
    for rest in ([_SYSTEM, user], [user, user], [*turns[1:3], user], [*turns[1:2], user], turns[2:3], [_SYSTEM], []):
        for end in (38, 39, 40):
            known = KnownParts()
            for sent in (turns[:end], [*turns[:end], *rest], [*turns[: end - 1], *rest]):
                assert_same_chat(_chat([*before, *sent], model=model), known)


def test_starts_are_dropped_when_there_are_too_many() -> None:
    """First those that were not used for longest. One that a conversation has outgrown makes room at once."""
    raws = [_message(_talk(40, f"word {number} ")) for number in range(12)]
    known = KnownMessages(KnownStarts(10 * len(raws[0])))
    for raw in raws[:9]:
        parse_parts(raw, known)
        parse_parts(raws[0], known)
    for raw in raws[9:]:
        parse_parts(raw, known)
    found = [known.starts.find(raw) is not None for raw in raws]
    assert found[0]
    assert all(found[9:])
    assert 8 <= sum(found) <= 10
    assert known.starts.find(raws[0]) is not None
    for count in range(41, 80):
        parse_parts(_message(_talk(count, "word 11 ")), known)
    assert known.starts.find(raws[0]) is not None
    assert sum(known.starts.find(raw) is not None for raw in raws) >= 6


def test_a_short_conversation_is_not_kept() -> None:
    """It costs little, and there are many of them."""
    known = KnownParts()
    assert_same_chat(_chat(_turns(8, "many words " * 100)), known)
    assert known.starts.find(_chat(_turns(8, "many words " * 100))) is None


def _talk(count: int, words: str = "word ") -> list[JSON]:
    """Return messages without tools."""
    return [{"role": ("user", "assistant")[index % 2], "content": f"{words * 30}{index}"} for index in range(count)]


def _message(messages: list[JSON]) -> bytes:
    return json.dumps({"model": "claude-opus-5", "max_tokens": 9, "messages": messages, "system": "s"}).encode()
