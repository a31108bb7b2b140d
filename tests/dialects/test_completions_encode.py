"""Text completions, whole and streamed, held to OpenAI's published description."""

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
    """The document does not know that OpenAI's reason is null until the end."""
    known = json.loads(json.dumps(chunk))
    for choice in known["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    if known.get("usage", ...) is None:
        del known["usage"]
    assert_valid("CreateCompletionResponse", known)


@pytest.mark.parametrize("case", COMPLETION_CASES)
def test_every_answer_and_chunk_is_valid_by_the_published_description(case: str) -> None:
    """Whatever Claude says."""
    events = script(*ANSWERS[case])
    _valid(plain(ECHOED, accumulate(events)))
    for chunk in chunks(streamed(ECHOED, events)):
        _valid(chunk)


def test_a_whole_answer() -> None:
    """Text only, thinking left out, usage counted."""
    made = plain(decode("Say "), accumulate(script([THINKING, text("abcd")])))
    assert made["id"] == "cmpl-0123456789abcdef0123456789abcdef"
    assert (made["object"], made["created"]) == ("text_completion", IDENTITY.created)
    assert made["choices"] == [{"text": "abcd", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    assert made["usage"]["prompt_tokens"] == 30
    assert made["usage"]["total_tokens"] == 41


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")],
)
def test_reasons(stop_reason: str, reason: str) -> None:
    """In OpenAI's words."""
    assert plain(decode("a"), accumulate(script([TEXT], stop_reason)))["choices"][0]["finish_reason"] == reason


def test_echo_begins_each_answer_with_its_prompt() -> None:
    """Also in a stream, before the model says anything."""
    request = decode(["one ", "two "], n=2, echo=True)
    answers = [accumulate(script([text(said)])) for said in ("a", "b", "c", "d")]
    assert [choice["text"] for choice in plain(request, *answers)["choices"]] == ["one a", "one b", "two c", "two d"]
    first = chunks(streamed(ECHOED, script([text("hi")])))[0]["choices"][0]
    assert (first["text"], first["finish_reason"]) == ("Say ", None)


@given(
    st.lists(st.sampled_from([TEXT, THINKING, text(""), text("so\n")]), max_size=4),
    st.sampled_from(["end_turn", "max_tokens", "refusal"]),
    st.integers(1, 5),
)
def test_the_chunks_put_together_are_the_plain_answer(said: list[Any], stop_reason: str, piece: int) -> None:
    """Text, reason and usage, of each of two choices."""
    request = decode("p", n=2, echo=True, stream_options={"include_usage": True})
    runs = [script(said, stop_reason, piece), script([text("other")])]
    whole = plain(request, *map(accumulate, runs))
    found = chunks(streamed(request, *runs))
    for choice in whole["choices"]:
        own = [one for chunk in found for one in chunk["choices"] if one["index"] == choice["index"]]
        assert "".join(one["text"] for one in own) == choice["text"]
        assert [one["finish_reason"] for one in own if one["finish_reason"]] == [choice["finish_reason"]]
    assert found[-1]["usage"] == whole["usage"]
    assert found[-1]["choices"] == []


def test_usage_comes_only_where_it_is_asked_for() -> None:
    """As in chats."""
    found = chunks(streamed(decode("a"), script([TEXT])))
    assert all("usage" not in chunk and chunk["choices"] for chunk in found)
    assert streamed(decode("a"), script([TEXT])).endswith(b"data: [DONE]\n\n")


def test_an_error_ends_the_stream_without_an_end_mark() -> None:
    """OpenAI's clients raise on it; nothing comes after."""
    stream = dialect().encode_stream(ECHOED, IDENTITY)
    events = script([TEXT])
    failed = stream.fail(Overloaded("Claude is overloaded."))
    assert json.loads(failed.removeprefix(b"data: "))["error"]["code"] == "overloaded"
    assert stream.failure
    assert (stream.feed(events[0]), stream.finish()) == (b"", b"")


def test_any_text_is_an_answer() -> None:
    """There is nothing to find fault with, and errors before it are OpenAI's."""
    request = decode("a")
    answers = [accumulate(script([TEXT]))]
    assert dialect().invalid_choices(request, answers) == {}
    assert dialect().response_warnings(request, answers) == ()
    assert dialect().encode_error(Overloaded("Busy")).status == 503
