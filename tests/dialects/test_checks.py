"""Checks of a response against its format and its tools' schemas."""

import pytest

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import UpstreamFailed
from dragoman.core.messages import FinalMessage, JSONObject
from dragoman.dialects.shared.structured_output import OutputFormat, arguments_warning, format_mismatch


def _mismatch(text: str, stop_reason: str | None, output_format: OutputFormat | None) -> UpstreamFailed | None:
    message: FinalMessage = {"content": [{"type": "text", "text": text}], "stop_reason": stop_reason}
    return format_mismatch(AccumulatedMessage(message, {}), output_format)


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
def test_text_is_checked_against_its_format(text: str, schema: JSONObject | None, fault: str | None) -> None:
    """A schema, or any object; the error names the mismatch."""
    found = _mismatch(text, "end_turn", OutputFormat(schema))
    if fault is None:
        assert found is None
        return
    assert found is not None
    assert (found.code, found.param) == ("schema_mismatch", "response_format")
    assert fault in found.message


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "tool_use", "model_context_window_exceeded", None])
def test_cut_or_refused_responses_are_not_checked(stop_reason: str | None) -> None:
    """The finish reason is enough, as at OpenAI."""
    assert _mismatch("{", stop_reason, OutputFormat(CITY)) is None
    assert _mismatch("{", "stop_sequence", OutputFormat(CITY)) is not None
    assert _mismatch("{", "stop_sequence", None) is None


def test_arguments_are_checked_against_their_schema() -> None:
    """A mismatch is a warning with its path; unknown tools and empty schemas are not checked."""
    warning = arguments_warning("f", {"n": 1}, {"f": CITY}, "p")
    assert warning is not None
    assert (warning.code, warning.param) == ("schema_mismatch", "p")
    assert "minimum of 3" in warning.detail
    assert arguments_warning("f", {"n": 3}, {"f": CITY}, "p") is None
    assert arguments_warning("f", "cut {", {"f": CITY}, "p") is not None
    assert arguments_warning("g", {}, {"f": CITY}, "p") is None
    assert arguments_warning("f", {}, {"f": {}}, "p") is None
