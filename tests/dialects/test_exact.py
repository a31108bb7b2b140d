"""The short way of decoding a chat gives what the longer way gives: the same bodies, warnings and errors."""

import json
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from chat_strategies import chats, fields, tool_fields
from chat_support import WEATHER
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.backends.anthropic.request import message_call
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.conversation import ConversationHash, has_thinking, hashed_fields
from dragoman.core.errors import GatewayError
from dragoman.core.value_object import replace
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.messages import PlainMessage
from dragoman.dialects.chat.plain import KnownParts, decode_parts
from dragoman.dialects.chat.request import ChatRequest, decode_chat
from dragoman.dialects.shared.exact import ExactDecoder
from dragoman.dialects.shared.json_types import JSON, JSONObject

CASES = sorted((Path(__file__).parent.parent / "corpus" / "cases").glob("*.json"))
OPTIONS = DialectOptions(stores_responses=True)
CATALOG = Catalog()


class Inner(msgspec.Struct):
    """A struct inside of another one."""

    known: int = 0


class Outer(msgspec.Struct):
    """A struct with others in it."""

    one: Inner | None = None
    many: list[Inner] = []
    free: JSON = None


def outcome(raw: bytes, known: KnownParts | None) -> object:
    """Return the decoded request, or the error."""
    try:
        return decode_chat(raw, CATALOG, OPTIONS, known)
    except GatewayError as error:
        return type(error), error.code, error.param, error.message


def assert_same(raw: bytes, known: KnownParts) -> None:
    """Decode a request the longer way, as one with new messages, and as one whose messages are known."""
    expected = outcome(raw, None)
    assert outcome(raw, known) == expected
    assert outcome(raw, known) == expected
    assert _media(outcome(raw, known)) == _media(expected)
    assert _sent(outcome(raw, known)) == _sent(expected)
    assert outcome(raw, known) == expected


def _sent(found: object) -> object:
    """Return what is made of a request: its call, with cache marks; the hashes of its conversation; its thinking."""
    if not isinstance(found, ChatRequest):
        return None
    body, options = found.body_for(0), found.request_options
    call = message_call(RunRequest("run_1", found.resolved.model, body, replace(options, agent=None)), "5m")
    hashes = [ConversationHash(hashed_fields(body), exact=exact).extend(body["messages"]) for exact in (False, True)]
    return call, [one.name for one in hashes], [*map(has_thinking, body["messages"])]


def _media(found: object) -> object:
    return [(one.param, one.block) for one in found.media] if isinstance(found, ChatRequest) else None


@st.composite
def disturbed(draw: st.DrawFn, messages: list[JSON]) -> list[JSON]:
    """Return a chat with one thing that does not belong there."""
    if not messages:
        return messages
    at = draw(st.integers(0, len(messages) - 1))
    chosen = cast("JSONObject", messages[at])
    changed: list[JSON] = draw(
        st.sampled_from(
            [
                [],
                [chosen, chosen],
                [{**chosen, "mood": "good"}],
                [{**chosen, "mood": None}],
                [{**chosen, "role": "narrator"}],
                [{**chosen, "content": 7}],
                [{**chosen, "content": [{"type": "text", "text": "a", "tone": 1}]}],
                [{"role": "tool", "tool_call_id": "c1", "content": "late"}, chosen],
                [{"role": "assistant", "content": "a", "audio": {"id": "1"}}, chosen],
            ]
        )
    )
    return [*messages[:at], *changed, *messages[at + 1 :]]


@pytest.mark.no_cover
@settings(max_examples=300)
@given(st.data(), chats, fields, tool_fields(), st.sampled_from(MODELS))
def test_both_ways_decode_any_chat_to_the_same(
    data: st.DataObject, messages: list[JSON], given_fields: dict[str, Any], tools: dict[str, Any], model: Model
) -> None:
    """The parts are those of the undisturbed chat when a disturbed one comes."""
    known = KnownParts()
    for sent in (messages, data.draw(disturbed(messages))):
        assert_same(json.dumps({"model": model.id, "messages": sent, **given_fields, **tools}).encode(), known)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_both_ways_decode_the_corpus_to_the_same(path: Path) -> None:
    """Requests in other dialects count, too: each is an odd chat."""
    request = json.loads(path.read_text())["request"]
    raw = request["raw"].encode() if request.get("raw") else json.dumps(request.get("body")).encode()
    assert_same(raw, KnownParts())


def test_a_known_message_keeps_its_place_in_errors() -> None:
    """Messages are known by their content. An error names the message of this request."""
    known = KnownParts()
    user: JSON = {"role": "user", "content": "hi"}
    called: JSON = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}
    result: JSON = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    for messages in ([user, called, result], [user, user, called, user], [called, result, called], [user, result]):
        assert_same(json.dumps({"model": "claude-opus-5", "messages": messages}).encode(), known)


THOUGHT = {"type": "reasoning.text", "text": "I think.", "signature": "c2ln"}
CALLS = [{"id": f"c{number}", "function": {"name": "f", "arguments": '{"a": 1}'}} for number in (1, 2)]
RESULTS = [{"role": "tool", "tool_call_id": f"c{number}", "content": "ok " * 500} for number in (1, 2)]


@pytest.mark.parametrize(
    "steps",
    [
        [{"role": "user", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "assistant", "content": "b", "reasoning_details": [THOUGHT]}, {"role": "user", "content": "c"}],
        [{"role": "assistant", "tool_calls": CALLS}, *RESULTS],
        [{"role": "assistant", "tool_calls": CALLS}, *RESULTS, {"role": "user", "content": "c"}],
        [{"role": "assistant", "content": "b "}],
        [{"role": "system", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "user", "content": [{"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]}],
    ],
)
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-5"])
def test_known_messages_are_sent_as_new_ones(steps: list[JSON], model: str) -> None:
    """The prompts are long enough for cache marks. Messages that are joined, marked or trimmed stay as they are."""
    known = KnownParts()
    start: list[JSON] = [{"role": "user", "content": "a " * 10_000}, {"role": "assistant", "content": "a"}]
    for messages in (start, [*start, start[0]], [*start, start[0], *steps], [*start, *steps, start[0]], [*steps]):
        for tools in ([], [WEATHER]):
            assert_same(json.dumps({"model": model, "messages": messages, "tools": tools}).encode(), known)


def test_a_mark_whose_key_is_written_with_escapes_is_found() -> None:
    """Such a message is not kept: marks beyond the maximum are removed from it."""
    known = KnownParts()
    mark = '{"type": "text", "text": "a", "c\\u0061che_control": {"type": "ephemeral"}}'
    message = f'{{"role": "user", "content": [{", ".join([mark] * 6)}]}}'
    for more in ("", ', "prompt_cache_key": "cache"'):
        assert_same(f'{{"model": "claude-opus-5", "messages": [{message}, {message}]{more}}}'.encode(), known)


@pytest.mark.parametrize("more", [{}, {"tools": None}, {"tools": []}, {"tools": [WEATHER]}, {"temperature": 1}])
def test_what_is_known_takes_the_short_way(more: JSONObject) -> None:
    """Its plain messages and its tools are kept."""
    known = KnownParts()
    raw = json.dumps({"model": "claude-opus-5", "messages": [{"role": "user", "content": "hi"}], **more}).encode()
    first, second = decode_parts(raw, known), decode_parts(raw, known)
    assert first is not None
    assert second is not None
    assert isinstance(second.messages[0], PlainMessage)
    assert second.messages == first.messages
    assert second.request.tools == first.request.tools
    assert bool(second.request.tools) is bool(more.get("tools"))


@pytest.mark.parametrize("where", ["messages", "tools", "metadata"])
def test_no_part_may_be_nested_too_deeply(where: str) -> None:
    """Whether the part is new or not, the error is that of the whole body."""
    known = KnownParts()
    for depth in (*range(844, 853), 860):
        deep = "[" * depth + "]" * depth
        message = f'{{"role": "assistant", "content": "a", "annotations": {deep if where == "messages" else 1}}}'
        tool = f'{{"type": "custom", "custom": {deep if where == "tools" else 1}}}'
        extra = f'"metadata": {{"a": {deep}}}' if where == "metadata" else '"n": 1'
        user = '{"role": "user", "content": "hi"}'
        body = f'{{"model": "claude-opus-5", "messages": [{user}, {message}, {user}], "tools": [{tool}], {extra}}}'
        assert_same(body.encode(), known)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"one": {"known": 1}, "many": [{"known": 2}], "free": {"any": 1}}', True),
        ('{"other": 1}', False),
        ('{"one": {"other": null}}', False),
        ('{"many": [{}, {"other": 1}]}', False),
        ('{"one": {"known": "1"}}', False),
        ('{"one": ', False),
    ],
)
def test_only_what_fits_exactly_is_decoded(text: str, fits: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The fields of free JSON are not looked at."""
    decoder: ExactDecoder[Outer] = ExactDecoder(Outer)
    assert (decoder.decode(text.encode()) is not None) is fits
