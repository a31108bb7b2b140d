"""The short way of parsing requests of the Messages API gives what the longer way gives, and sends the same bytes."""

import json
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.backends.anthropic.request import count_call, message_call
from dragoman.backends.base import RunRequest
from dragoman.core.catalog import Catalog
from dragoman.core.conversation import ConversationHash, has_thinking, hashed_fields
from dragoman.core.errors import GatewayError
from dragoman.core.known_message import KnownMessage
from dragoman.core.value_object import replace
from dragoman.dialects.base import DecodedRequest
from dragoman.dialects.messages.known import KnownMessages
from dragoman.dialects.messages.request import decode_message
from dragoman.dialects.shared.json_types import JSON, JSONObject

CASES = sorted((Path(__file__).parent.parent / "corpus" / "cases").glob("*.json"))
CATALOG = Catalog()
MARK: JSONObject = {"type": "ephemeral"}
TEXT: JSONObject = {"type": "text", "text": "a"}
CALL: JSONObject = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1e5, "b": [1.50, -0.0]}}
RESULT: JSONObject = {"type": "tool_result", "tool_use_id": "t1", "content": [TEXT, {"type": "image", "source": {}}]}
BLOCKS: list[JSON] = [
    TEXT,
    {**TEXT, "cache_control": MARK},
    {**TEXT, "cache_control": None},
    {"type": "text"},
    CALL,
    {**CALL, "input": {"cache_control": 1}},
    RESULT,
    {**RESULT, "content": "ok"},
    {**RESULT, "content": 7},
    {"type": "thinking", "thinking": "t", "signature": "s"},
    {"type": "thinking", "thinking": "t", "signature": ""},
    {"type": "redacted_thinking", "data": "d"},
    {"type": "document", "source": {"type": "file", "file_id": "f"}},
    {"type": "unheard_of", "more": [1]},
    "a",
    {},
]
contents: st.SearchStrategy[JSON] = st.one_of(
    st.sampled_from(["", "hi", "ü\u2028", 7, None]), st.lists(st.sampled_from(BLOCKS), max_size=3)
)
messages: st.SearchStrategy[JSON] = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), contents
    ),
    st.builds(lambda content: {"content": content, "role": "user"}, contents),
    st.builds(lambda content: {"role": "user", "content": content, "output_config": {"effort": "low"}}, contents),
    st.sampled_from(cast("list[JSON]", [{}, 7, {"role": "user"}, {"role": "narrator", "content": "a"}])),
)


def outcome(raw: bytes, known: KnownMessages | None) -> object:
    """Return the decoded request with what is sent for it, and what is hashed; or the error."""
    try:
        request = decode_message(raw, {}, CATALOG, known)
    except GatewayError as error:
        return type(error), error.code, error.param, error.message
    return request, _made_of(request)


def _made_of(request: DecodedRequest) -> object:
    body = request.body_for(0)
    run = RunRequest("run_1", request.resolved.model, body, replace(request.request_options, agent=None))
    hashes = [
        ConversationHash(hashed_fields(body), exact=exact).extend(body["messages"]).name for exact in (False, True)
    ]
    kinds = [type(message["content"]) for message in body["messages"]]
    return message_call(run, "5m"), count_call(run), hashes, kinds, [*map(has_thinking, body["messages"])]


def assert_same(raw: bytes, known: KnownMessages) -> None:
    """Decode a request the longer way, with new messages, and with known ones."""
    expected = outcome(raw, None)
    for _ in range(3):
        assert outcome(raw, known) == expected


@pytest.mark.no_cover
@settings(max_examples=300)
@given(st.lists(messages, max_size=5), st.lists(messages, max_size=2), st.booleans())
def test_both_ways_decode_any_request_to_the_same(first: list[JSON], more: list[JSON], ascii_only: bool) -> None:  # noqa: FBT001
    """The messages of the first request are known when the second one comes."""
    known = KnownMessages()
    for sent in (first, first + more, more + first):
        body = {"model": "claude-opus-5", "max_tokens": 9, "messages": sent, "system": "s", "top_k": -1}
        assert_same(json.dumps(body, ensure_ascii=ascii_only).encode(), known)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_both_ways_decode_the_corpus_to_the_same(path: Path) -> None:
    """Requests in other dialects count, too: each is an odd request."""
    request = json.loads(path.read_text())["request"]
    raw = request["raw"].encode() if request.get("raw") else json.dumps(request.get("body")).encode()
    assert_same(raw, KnownMessages())


@pytest.mark.parametrize("depth", [*range(842, 853), 860])
@pytest.mark.parametrize("where", ["messages", "tools"])
def test_no_part_may_be_nested_too_deeply(where: str, depth: int) -> None:
    """The limit is that of the whole body."""
    deep = "[" * depth + "]" * depth
    block = f'{{"type": "odd", "a": {deep if where == "messages" else 1}}}'
    tool = f'{{"name": "f", "input_schema": {deep if where == "tools" else 1}}}'
    message = f'{{"role": "user", "content": [{block}]}}'
    assert_same(f'{{"model": "claude-opus-5", "messages": [{message}], "tools": [{tool}]}}'.encode(), KnownMessages())


@pytest.mark.parametrize("text", [b"\xff", rb"\ud83d", rb"\x", b'"'])
def test_text_that_is_no_text_is_treated_alike(text: bytes) -> None:
    """Whether it is refused, or repaired with a warning."""
    raw = b'{"model": "claude-opus-5", "messages": [{"role": "user", "content": "%s"}], "max_tokens": 9}' % text
    assert_same(raw, KnownMessages())


def test_messages_that_are_sent_as_they_are_are_kept() -> None:
    """Those with marks are not: the marks of an agent move."""
    known = KnownMessages()
    kept: list[JSON] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [TEXT, CALL]}]
    other: list[JSON] = [{"role": "user", "content": [{**TEXT, "cache_control": MARK}]}]
    raw = json.dumps({"model": "claude-opus-5", "messages": [*kept, *other]}).encode()
    decode_message(raw, {}, CATALOG, known)
    decoded = decode_message(raw, {}, CATALOG, known).body["messages"]
    assert [isinstance(message, KnownMessage) for message in decoded] == [True, True, False]
