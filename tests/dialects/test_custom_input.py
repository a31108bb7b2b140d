"""The text of a custom tool call, decoded while its JSON arrives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.dialects.responses.custom_input import TextDecoder, custom_tool_text

texts = st.text(st.characters(codec="utf-8"), max_size=20)


def decoded(json_text: str, size: int) -> str:
    """Return the text of arguments that arrive in pieces."""
    decoder = TextDecoder()
    return "".join(decoder.add(json_text[start : start + size]) for start in range(0, len(json_text), size))


@given(texts, st.integers(1, 8), st.booleans(), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_any_text_in_any_pieces(text: str, size: int, escape: bool, separators: tuple[str, str]) -> None:  # noqa: FBT001
    """Escapes may be cut anywhere; later arguments do not count."""
    written = json.dumps({"input": text, "note": 'a"b'}, ensure_ascii=escape, separators=separators)
    assert decoded(written, size) == text


def test_text_is_returned_as_soon_as_it_is_certain() -> None:
    """Only an escape that is cut waits."""
    decoder = TextDecoder()
    pieces = ['{"input": "', "ab", "c\\", "nd\\ud83d", "\\ude00", '"}']
    assert [decoder.add(piece) for piece in pieces] == ["", "ab", "c", "\nd", "😀", ""]
    assert decoder.found


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r'{"input": "a\ud83d"}', "a�"),
        (r'{"input": "\ud83dx\ude00"}', "�x�"),
        (r'{"input": "a\\ud83d"}', r"a\ud83d"),
        (r'{"input": "a\u00', "a"),
        (r'{"input": "a\ud83d\u', "a"),
    ],
)
def test_halves_of_characters_are_replaced(written: str, text: str) -> None:
    """They cannot be sent on; at a cut, they are left out."""
    assert [decoded(written, size) for size in (1, 3, 99)] == [text] * 3


@pytest.mark.parametrize("written", ['{"input": 5}', '{"city": "Rome"}', "[]", " " * 80 + '{"input": "a"}'])
def test_other_arguments_have_no_text(written: str) -> None:
    """Then the whole call is shown at its end."""
    decoder = TextDecoder()
    assert [decoder.add(piece) for piece in written] == [""] * len(written)
    assert not decoder.found


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"input": "a"}, "a"), ({"input": 5}, '{"input": 5}'), ({}, ""), (None, ""), ('{"input": "a\\', "a"), ("{", "")],
)
def test_text_of_a_complete_call(arguments: object, text: str) -> None:
    """Arguments that do not fit become JSON text, and a cut call has the text up to the cut."""
    assert custom_tool_text({"input": arguments}) == text  # type: ignore[dict-item]
