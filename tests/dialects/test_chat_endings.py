"""How a chat ends, and what the assistant thought in it."""

import pytest
from chat_support import NEWEST, OLD, decode, said, text

from dragoman.core.errors import UnsupportedFeature
from dragoman.core.messages import JSON

USER: JSON = {"role": "user", "content": "hi"}
ANSWER: JSON = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize("model", [OLD, NEWEST])
def test_a_blank_message_changes_nothing_of_where_instructions_go(model: str) -> None:
    """They are answered, whoever says nothing after them, and also where no user has spoken."""
    request = decode([ANSWER, {"role": "system", "content": "go"}, {"role": "user", "content": " "}], model=model)
    assert request.body["messages"][-1] == {"role": "user", "content": [text("go")]}
    assert "system" not in request.body
    assert set(said(request)) == {("ignored", "messages[2].content"), ("moved", "messages[1]"), ("mapped", "messages")}


def test_an_assistant_last_is_a_prefill() -> None:
    """Without the white space at its end, which the API refuses."""
    request = decode([USER, {"role": "assistant", "content": "It is \n"}])
    assert request.body["messages"][-1] == {"role": "assistant", "content": [text("It is")]}
    assert said(request) == [("trimmed", "messages[1].content")]


def test_a_prefill_is_refused_where_the_model_takes_none() -> None:
    """By name."""
    with pytest.raises(UnsupportedFeature) as caught:
        decode([USER, {"role": "assistant", "content": "It is"}], model=NEWEST)
    assert (caught.value.code, caught.value.param) == ("unsupported_prefill", "messages[1]")


def test_signed_thinking_comes_back_in_front() -> None:
    """With its signature, redacted or not."""
    details: list[JSON] = [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "index": 0},
        {"type": "reasoning.encrypted", "data": "xyz", "index": 1},
    ]
    answer: JSON = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": details}
    assert decode([USER, answer, USER]).body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        text("a"),
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_content": "hm"}, "messages[1].reasoning_content"),
        ({"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, "messages[1].reasoning_details"),
        (
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": ""}]},
            "messages[1].reasoning_details",
        ),
        ({"reasoning_details": [{"type": "reasoning.encrypted"}]}, "messages[1].reasoning_details"),
    ],
)
def test_unsigned_thinking_is_left_out_and_said(fields: dict[str, JSON], param: str) -> None:
    """The API would refuse it."""
    request = decode([USER, {"role": "assistant", "content": "a", **fields}, USER])
    assert request.body["messages"][1]["content"] == [text("a")]
    assert said(request) == [("ignored", param)]


def test_an_answer_sent_back_whole_says_nothing() -> None:
    """OpenAI's clients send back every field of the message they got."""
    answer: JSON = {
        "role": "assistant",
        "content": "a",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
        "parsed": None,
    }
    assert said(decode([USER, answer, USER])) == []
