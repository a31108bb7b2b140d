"""The last messages of a chat, and thinking in its history."""

import pytest
from chat_support import NEWEST, OLD, decode, text, warned

from dragoman.core.errors import UnsupportedFeature
from dragoman.core.messages import JSON

USER: JSON = {"role": "user", "content": "hi"}
ANSWER: JSON = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize("model", [OLD, NEWEST])
def test_a_blank_message_does_not_move_instructions(model: str) -> None:
    """Instructions after the assistant become a user message, also when no user message came before."""
    request = decode([ANSWER, {"role": "system", "content": "go"}, {"role": "user", "content": " "}], model=model)
    assert request.body["messages"][-1] == {"role": "user", "content": [text("go")]}
    assert "system" not in request.body
    assert set(warned(request)) == {
        ("ignored", "messages[2].content"),
        ("moved", "messages[1]"),
        ("mapped", "messages"),
    }


def test_a_last_assistant_message_is_a_prefill() -> None:
    """Without trailing white space, which the API refuses."""
    request = decode([USER, {"role": "assistant", "content": "It is \n"}])
    assert request.body["messages"][-1] == {"role": "assistant", "content": [text("It is")]}
    assert warned(request) == [("trimmed", "messages[1].content")]


def test_a_prefill_is_refused_by_models_without_prefill() -> None:
    """With the path of the message."""
    with pytest.raises(UnsupportedFeature) as caught:
        decode([USER, {"role": "assistant", "content": "It is"}], model=NEWEST)
    assert (caught.value.code, caught.value.param) == ("unsupported_prefill", "messages[1]")


def test_signed_thinking_comes_first() -> None:
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
def test_unsigned_thinking_is_left_out_with_a_warning(fields: dict[str, JSON], param: str) -> None:
    """The API refuses it."""
    request = decode([USER, {"role": "assistant", "content": "a", **fields}, USER])
    assert request.body["messages"][1]["content"] == [text("a")]
    assert warned(request) == [("ignored", param)]


def test_a_message_sent_back_unchanged_causes_no_warnings() -> None:
    """OpenAI's clients send back every field of the message."""
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
    assert warned(decode([USER, answer, USER])) == []
