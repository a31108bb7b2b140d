"""Checks of an answer before it ends: structured text against its format, tool arguments against their schema."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

import msgspec

from dragoman.errors import UpstreamFailed
from dragoman.messages import JSON, JSONObject
from dragoman.notices import Notice
from dragoman.wire.formats import AnswerFormat

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


def first_fault(value: JSON, schema: JSONObject) -> str | None:
    """What is wrong with a value, in one line; none where nothing is, or where the schema itself is no schema."""
    # Imported late: it takes a tenth of a second, and most answers are free text.
    exceptions = import_module("jsonschema.exceptions")
    referencing = import_module("referencing")
    try:
        _validator().check_schema(schema)
        # An empty registry: no reference of a client's makes us fetch anything.
        faults = _validator()(schema, registry=referencing.Registry()).iter_errors(value)
        worst = exceptions.best_match(faults)
    except (exceptions.SchemaError, referencing.exceptions.Unresolvable, RecursionError):
        return None
    if worst is None:
        return None
    place = worst.json_path.removeprefix("$").lstrip(".")
    return f"{place or 'the value'}: {worst.message[:200]}"


@cache
def _validator() -> Any:  # a class that jsonschema makes at run time
    """JSON schema without clients' own regular expressions: they would run in our process, without a limit."""
    jsonschema = import_module("jsonschema")
    standard = jsonschema.Draft202012Validator

    def unchecked(*_: object) -> tuple[()]:
        return ()

    def beside_patterns(keyword: str) -> Callable[..., Iterable[object]]:
        checked = standard.VALIDATORS[keyword]

        def check(validator: object, value: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
            return () if "patternProperties" in schema else checked(validator, value, instance, schema) or ()

        return check

    own = {keyword: beside_patterns(keyword) for keyword in ("additionalProperties", "unevaluatedProperties")}
    return jsonschema.validators.extend(standard, {**own, "pattern": unchecked, "patternProperties": unchecked})


def _mismatch(fault: str, wanted: AnswerFormat) -> UpstreamFailed:
    said = f"Claude's answer does not fit `{wanted.param}`: {fault}."
    return UpstreamFailed(said, code="schema_mismatch", param=wanted.param)
