"""Responses that come back without their thinking, and with their texts joined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.messages import Block
from dragoman.runs.reasoning_store import restore_layout, thinking_layout

CALL: Block = {"type": "tool_use", "id": "t", "name": "look", "input": {}}


def thinking(text: str) -> Block:
    """Return a thinking block."""
    return {"type": "thinking", "thinking": text, "signature": text}


def text(value: str) -> Block:
    """Return a text block."""
    return {"type": "text", "text": value}


def as_chat_clients_send(content: list[Block]) -> list[Block]:
    """Return the content without thinking, with adjacent texts joined."""
    returned: list[Block] = []
    for block in content:
        if block["type"] == "text" and returned and returned[-1]["type"] == "text":
            returned[-1] = text(f"{returned[-1]['text']}{block['text']}")
        elif block["type"] != "thinking":
            returned.append(block)
    return returned


_blocks = st.one_of(
    st.builds(thinking, st.text(max_size=3)),
    st.builds(text, st.text(min_size=1, max_size=5).filter(lambda value: not value.isspace())),
    st.just(CALL),
)


@given(st.lists(_blocks, max_size=8))
def test_a_response_is_restored(content: list[Block]) -> None:
    """Block for block, wherever the model thought."""
    layout = thinking_layout(content)
    if not any(block["type"] == "thinking" for block in content):
        assert layout is None
        return
    assert layout is not None
    assert restore_layout(layout, as_chat_clients_send(content)) == content


def test_texts_that_the_client_has_cut_are_joined() -> None:
    """A cache mark at the end of a text stays."""
    layout = thinking_layout([thinking("1"), text("ab"), thinking("2"), text("cd")])
    assert layout is not None
    mark: Block = {"type": "ephemeral"}
    sent: list[Block] = [text("a"), text("bc"), {**text("d"), "cache_control": mark}]
    last: Block = {**text("cd"), "cache_control": mark}
    assert restore_layout(layout, sent) == [thinking("1"), text("ab"), thinking("2"), last]


@pytest.mark.parametrize(
    "sent",
    [[], [text("abc")], [text("abcde")], [CALL], [text("abcd"), CALL], [CALL, text("abcd")], [text("ab  ")]],
    ids=str,
)
def test_content_that_does_not_fit_is_not_restored(sent: list[Block]) -> None:
    """Too little, too much, something else, or a text that the API would reject."""
    layout = thinking_layout([thinking("1"), text("ab"), thinking("2"), text("cd")])
    assert layout is not None
    assert restore_layout(layout, sent) is None


def test_an_empty_text_is_left_out() -> None:
    """Some responses contain one; a request must not."""
    layout = thinking_layout([thinking("1"), text(""), CALL])
    assert layout is not None
    assert restore_layout(layout, [CALL]) == [thinking("1"), CALL]
