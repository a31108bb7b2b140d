"""Structured answers: the API's own structured output for schemas, an instruction where it has none to offer.

Values held to schemas that clients wrote, which may not keep the event loop busy.

Their regular expressions are never run, and references, by which a few lines can ask for any amount of work, are
followed only so often.

Checks of an answer before it ends: structured text against its format, tool arguments against their schema.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

import msgspec

from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.schemas import check_depth, closed, not_enforced

OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)

SCHEMA_INSTRUCTION = (
    "Answer with exactly one valid JSON value that fits the JSON schema below, and nothing else: no words around it, "
    "and no code fence.\n\n{schema}"
)


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """What the text of the answer must be.

    Attributes:
        schema: The client's own JSON schema; none where any JSON object will do.
        param: Where the client said so.
    """

    schema: JSONObject | None = None
    param: str = "response_format"

    @property
    def is_enforced(self) -> bool:
        """Whether the API holds the model to it."""
        return self.schema is not None and not_enforced(self.schema) is None


def schema_format(schema: JSONObject, param: str, place: str) -> AnswerFormat:
    """The format that a client's schema asks for.

    Args:
        schema: The schema.
        param: Where the client asked for a format.
        place: Where the schema itself stands.

    Raises:
        InvalidRequest: The schema is empty, or nested too deeply.
    """
    if not schema:
        raise InvalidRequest("The schema is empty.", param=place)
    check_depth(schema, place)
    return AnswerFormat(schema, param)


def api_format(wanted: AnswerFormat) -> JSONObject | None:
    """`output_config.format` of the body, where the API can hold the model to it."""
    if wanted.schema is None or not wanted.is_enforced:
        return None
    return {"type": "json_schema", "schema": closed(wanted.schema)}


def instruction(wanted: AnswerFormat | None, warnings: list[RequestWarning]) -> str | None:
    """What the model is told where the API has no mode for it: for just any object, or a schema that it refuses."""
    if wanted is None:
        return None
    if wanted.schema is None:
        return OBJECT_INSTRUCTION
    if (reason := not_enforced(wanted.schema)) is None:
        return None
    detail = f"Claude's structured output takes no {reason}; it was told the schema in words."
    warnings.append(RequestWarning("mapped", wanted.param, detail))
    return SCHEMA_INSTRUCTION.format(schema=msgspec.json.encode(wanted.schema).decode())


_MOST_REFERENCES = 10_000
"""Followed in one check: half a second's work. A list of as many things that each are described elsewhere has fewer."""

_followed: ContextVar[Iterator[int]] = ContextVar("followed")

_Check = Callable[..., Iterable[object] | None]


class _Endless(Exception):  # noqa: N818 - named by what happened
    """The schema asks for more work than it is worth."""


def first_fault(value: JSON, schema: JSONObject) -> str | None:
    """What is wrong with a value, in one line; none where nothing is, or where the schema is none or asks too much."""
    # Imported late: it takes a tenth of a second, and most answers are free text.
    exceptions = import_module("jsonschema.exceptions")
    referencing = import_module("referencing")
    _followed.set(itertools.count())
    try:
        _validator().check_schema(schema)
        # An empty registry: no reference of a client's makes us fetch anything.
        faults = _validator()(schema, registry=referencing.Registry()).iter_errors(value)
        worst = exceptions.best_match(faults)
    except (exceptions.SchemaError, referencing.exceptions.Unresolvable, ArithmeticError, RecursionError, _Endless):
        return None
    if worst is None:
        return None
    place = worst.json_path.removeprefix("$").lstrip(".")
    return f"{place or 'the value'}: {worst.message[:200]}"


@cache
def _validator() -> Any:  # a class that jsonschema makes at run time
    jsonschema = import_module("jsonschema")
    standard = jsonschema.Draft202012Validator
    known = standard.VALIDATORS
    own: dict[str, _Check] = dict.fromkeys(("pattern", "patternProperties"), _unchecked)
    own |= {key: _beside_patterns(known[key]) for key in ("additionalProperties", "unevaluatedProperties")}
    own |= {key: _counted(known[key]) for key in ("$ref", "$dynamicRef")}
    made = jsonschema.validators.extend(standard, own)
    made.evolve = _evolve(made.evolve)
    return made


def _unchecked(*_: object) -> tuple[()]:
    return ()


def _beside_patterns(checked: _Check) -> _Check:
    def check(validator: object, keyword: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        return () if "patternProperties" in schema else checked(validator, keyword, instance, schema) or ()

    return check


def _counted(checked: _Check) -> _Check:
    def check(validator: object, keyword: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        if next(_followed.get()) >= _MOST_REFERENCES:
            raise _Endless
        return checked(validator, keyword, instance, schema) or ()

    return check


def _evolve(evolve: Callable[..., object]) -> Callable[..., object]:
    """A part of a schema that names a draft (`$schema`) would be held to that one's own rules, patterns included."""

    def evolved(validator: object, **changes: object) -> object:
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: value for key, value in cast("JSONObject", schema).items() if key != "$schema"}
        return evolve(validator, **changes)

    return evolved


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


def check_arguments(name: str, arguments: JSON, schemas: Mapping[str, JSONObject], param: str) -> RequestWarning | None:
    """Say where a call's arguments do not fit the client's own schema."""
    schema = schemas.get(name)
    if not schema or not (fault := first_fault(arguments, schema)):
        return None
    return RequestWarning("schema_mismatch", param, f"The arguments of `{name}` do not fit its schema: {fault}.")


def _mismatch(fault: str, wanted: AnswerFormat) -> UpstreamFailed:
    said = f"Claude's answer does not fit `{wanted.param}`: {fault}."
    return UpstreamFailed(said, code="schema_mismatch", param=wanted.param)
