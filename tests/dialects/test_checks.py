"""Answers held to their formats."""

import pytest

from dragoman.core.messages import JSONObject
from dragoman.dialects.shared.structured_output import AnswerFormat, check_arguments, text_fault

CITY: JSONObject = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("text", "schema", "fault"),
    [
        ('{"n":3}', CITY, None),
        ('{"n":2}', CITY, "n: 2 is less than the minimum of 3"),
        ("{}", CITY, "the value: 'n' is a required property"),
        ("{", CITY, "not valid JSON"),
        ("", None, "not valid JSON"),
        ("[]", None, "not a JSON object"),
        ('{"any":[1]}', None, None),
        ("5", {"type": "integer"}, None),
    ],
)
def test_text(text: str, schema: JSONObject | None, fault: str | None) -> None:
    """Schema or any object; the fault is said."""
    found = text_fault(text, "end_turn", AnswerFormat(schema))
    if fault is None:
        assert found is None
        return
    assert found is not None
    assert (found.code, found.param) == ("schema_mismatch", "response_format")
    assert fault in found.message


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "tool_use", "model_context_window_exceeded", None])
def test_an_answer_that_was_cut_or_declined_is_not_held_to_its_format(stop_reason: str | None) -> None:
    """The reason says so already; OpenAI does the same."""
    assert text_fault("{", stop_reason, AnswerFormat(CITY)) is None
    assert text_fault("{", "stop_sequence", AnswerFormat(CITY)) is not None
    assert text_fault("{", "stop_sequence", None) is None


def test_arguments() -> None:
    """A mismatch is a warning with its place; an unknown tool or an empty schema says nothing."""
    warning = check_arguments("f", {"n": 1}, {"f": CITY}, "p")
    assert warning is not None
    assert (warning.code, warning.param) == ("schema_mismatch", "p")
    assert "minimum of 3" in warning.detail
    assert check_arguments("f", {"n": 3}, {"f": CITY}, "p") is None
    assert check_arguments("f", "cut {", {"f": CITY}, "p") is not None
    assert check_arguments("g", {}, {"f": CITY}, "p") is None
    assert check_arguments("f", {}, {"f": {}}, "p") is None
