"""Answers that come back without their thinking, and with their text in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.messages import Block
from dragoman.runs.reasoning_store import restore_layout, thinking_layout

CALL: Block = {"type": "tool_use", "id": "t", "name": "look", "input": {}}


def thought(words: str) -> Block:
    """A thinking block."""
    return {"type": "thinking", "thinking": words, "signature": words}


def said(words: str) -> Block:
    """A text block."""
    return {"type": "text", "text": words}


def as_chat_clients_send(content: list[Block]) -> list[Block]:
    """Texts that follow each other, thinking left out, in one."""
    made: list[Block] = []
    for block in content:
        if block["type"] == "text" and made and made[-1]["type"] == "text":
            made[-1] = said(f"{made[-1]['text']}{block['text']}")
        elif block["type"] != "thinking":
            made.append(block)
    return made


_blocks = st.one_of(
    st.builds(thought, st.text(max_size=3)),
    st.builds(said, st.text(min_size=1, max_size=5).filter(lambda words: not words.isspace())),
    st.just(CALL),
)


@given(st.lists(_blocks, max_size=8))
def test_an_answer_is_whole_again(content: list[Block]) -> None:
    """Block for block, wherever the model thought."""
    bones = thinking_layout(content)
    if not any(block["type"] == "thinking" for block in content):
        assert bones is None
        return
    assert bones is not None
    assert restore_layout(bones, as_chat_clients_send(content)) == content


def test_a_text_that_the_client_has_cut_is_one_again() -> None:
    """With the mark that it has set at its end."""
    bones = thinking_layout([thought("1"), said("ab"), thought("2"), said("cd")])
    assert bones is not None
    mark: Block = {"type": "ephemeral"}
    sent: list[Block] = [said("a"), said("bc"), {**said("d"), "cache_control": mark}]
    last: Block = {**said("cd"), "cache_control": mark}
    assert restore_layout(bones, sent) == [thought("1"), said("ab"), thought("2"), last]


@pytest.mark.parametrize(
    "sent",
    [[], [said("abc")], [said("abcde")], [CALL], [said("abcd"), CALL], [CALL, said("abcd")], [said("ab  ")]],
    ids=str,
)
def test_what_does_not_fit_is_not_forced_together(sent: list[Block]) -> None:
    """Too little, too much, something else, or a piece that could not be sent."""
    bones = thinking_layout([thought("1"), said("ab"), thought("2"), said("cd")])
    assert bones is not None
    assert restore_layout(bones, sent) is None


def test_a_text_without_words_is_left_out() -> None:
    """As some answers have, and no request may."""
    bones = thinking_layout([thought("1"), said(""), CALL])
    assert bones is not None
    assert restore_layout(bones, [CALL]) == [thought("1"), CALL]
