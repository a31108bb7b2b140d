"""Encoding of text completions, plain and streamed."""

import json
from typing import Any

import pytest
from chat_answers import ANSWERS, TEXT, THINKING
from chat_support import IDENTITY, chunks, script, text
from completions_support import decode, dialect, plain, streamed
from hypothesis import given
from hypothesis import strategies as st
from openai_spec import assert_valid

from dragoman.core.accumulate import accumulate
from dragoman.core.errors import Overloaded

ECHOED = decode("Say ", echo=True, stream=True, stream_options={"include_usage": True})
COMPLETION_CASES = {name: case for name, case in ANSWERS.items() if case[1] != "tool_use"}


def _valid(chunk: Any) -> None:
    """Validate a body. OpenAI's description does not allow the null reason that OpenAI sends before the end."""
    known = json.loads(json.dumps(chunk))
    for choice in known["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    if known.get("usage", ...) is None:
        del known["usage"]
    assert_valid("CreateCompletionResponse", known)


@pytest.mark.parametrize("case", COMPLETION_CASES)
def test_every_response_and_chunk_matches_openais_description(case: str) -> None:
    """For every kind of response."""
    events = script(*ANSWERS[case])
    _valid(plain(ECHOED, accumulate(events)))
    for chunk in chunks(streamed(ECHOED, events)):
        _valid(chunk)


def test_a_plain_response() -> None:
    """Only text, without thinking; with usage."""
    response = plain(decode("Say "), accumulate(script([THINKING, text("abcd")])))
    assert response["id"] == "cmpl-0123456789abcdef0123456789abcdef"
    assert (response["object"], response["created"]) == ("text_completion", IDENTITY.created)
    assert response["choices"] == [{"text": "abcd", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert response["usage"]["prompt_tokens"] == 30
    assert response["usage"]["total_tokens"] == 41


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")],
)
def test_finish_reasons(stop_reason: str, reason: str) -> None:
    """As OpenAI names them."""
    assert plain(decode("a"), accumulate(script([TEXT], stop_reason)))["choices"][0]["finish_reason"] == reason


def test_echo_begins_each_choice_with_its_prompt() -> None:
    """Also in a stream, before the model's text."""
    request = decode(["one ", "two "], n=2, echo=True)
    answers = [accumulate(script([text(letter)])) for letter in ("a", "b", "c", "d")]
    assert [choice["text"] for choice in plain(request, *answers)["choices"]] == ["one a", "one b", "two c", "two d"]
    first = chunks(streamed(ECHOED, script([text("hi")])))[0]["choices"][0]
    assert (first["text"], first["finish_reason"]) == ("Say ", None)


@given(
    st.lists(st.sampled_from([TEXT, THINKING, text(""), text("so\n")]), max_size=4),
    st.sampled_from(["end_turn", "max_tokens", "refusal"]),
    st.integers(1, 5),
)
def test_the_joined_chunks_equal_the_plain_response(blocks: list[Any], stop_reason: str, piece: int) -> None:
    """Text, reason and usage, of each of two choices."""
    request = decode("p", n=2, echo=True, stream_options={"include_usage": True})
    runs = [script(blocks, stop_reason, piece), script([text("other")])]
    plain_response = plain(request, *map(accumulate, runs))
    found = chunks(streamed(request, *runs))
    for choice in plain_response["choices"]:
        own = [one for chunk in found for one in chunk["choices"] if one["index"] == choice["index"]]
        assert "".join(one["text"] for one in own) == choice["text"]
        assert [one["finish_reason"] for one in own if one["finish_reason"]] == [choice["finish_reason"]]
    assert found[-1]["usage"] == plain_response["usage"]
    assert found[-1]["choices"] == []


def test_usage_is_sent_only_if_requested() -> None:
    """As in chats."""
    found = chunks(streamed(decode("a"), script([TEXT])))
    assert all("usage" not in chunk and chunk["choices"] for chunk in found)
    assert streamed(decode("a"), script([TEXT])).endswith(b"data: [DONE]\n\n")


def test_an_error_ends_the_stream_without_an_end_mark() -> None:
    """OpenAI's clients raise on it; nothing follows."""
    stream = dialect().encode_stream(ECHOED, IDENTITY)
    events = script([TEXT])
    failed = stream.fail(Overloaded("Claude is overloaded."))
    assert json.loads(failed.removeprefix(b"data: "))["error"]["code"] == "overloaded"
    assert stream.failure
    assert (stream.feed(events[0]), stream.finish()) == (b"", b"")


def test_any_text_is_valid() -> None:
    """Errors are encoded as OpenAI's."""
    request = decode("a")
    answers = [accumulate(script([TEXT]))]
    assert dialect().invalid_choices(request, answers) == {}
    assert dialect().response_warnings(request, answers) == ()
    assert dialect().encode_error(Overloaded("Busy")).status == 503
