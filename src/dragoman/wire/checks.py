"""Checks of an answer before it ends: structured text against its format, tool arguments against their schema."""

from collections.abc import Mapping
from typing import cast

import msgspec

from dragoman.errors import UpstreamFailed
from dragoman.messages import JSON, JSONObject
from dragoman.notices import Notice
from dragoman.wire.formats import AnswerFormat
from dragoman.wire.validators import first_fault

_ENDED = frozenset({"end_turn", "stop_sequence"})
"""Only an answer that came to its own end can be held to its format."""


def text_fault(text: str, stop_reason: object, wanted: AnswerFormat | None) -> UpstreamFailed | None:
    """`schema_mismatch` where a structured answer does not fit its format; none where it does, or there is none."""
    if wanted is None or stop_reason not in _ENDED:
        return None
    try:
        value = cast("JSON", msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return _mismatch("it is not valid JSON", wanted)
    if wanted.schema is not None:
        fault = first_fault(value, wanted.schema)
    else:
        fault = None if isinstance(value, dict) else "it is not a JSON object"
    return _mismatch(fault, wanted) if fault else None


def check_arguments(name: str, arguments: JSON, schemas: Mapping[str, JSONObject], param: str) -> Notice | None:
    """Say where a call's arguments do not fit the client's own schema."""
    schema = schemas.get(name)
    if not schema or not (fault := first_fault(arguments, schema)):
        return None
    return Notice("schema_mismatch", param, f"The arguments of `{name}` do not fit its schema: {fault}.")


def _mismatch(fault: str, wanted: AnswerFormat) -> UpstreamFailed:
    said = f"Claude's answer does not fit `{wanted.param}`: {fault}."
    return UpstreamFailed(said, code="schema_mismatch", param=wanted.param)
