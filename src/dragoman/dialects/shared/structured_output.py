"""Structured output: the API's own for JSON schemas, and an instruction for formats that the API does not support.

Also the checks of a response: its text against its format, and tool arguments against the client's schema.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.output_schemas import api_schema, check_depth, unenforceable_part
from dragoman.dialects.shared.schema_repair import SchemaRepair

# Stored thinking is bound to these words: a change makes it invalid.
OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)

SCHEMA_INSTRUCTION = (
    "Answer with exactly one valid JSON value that fits the JSON schema below, and nothing else: no words around it, "
    "and no code fence.\n\n{schema}"
)

MAX_STEPS = 40_000
"""Steps of one check: keywords, with their members and the items that they visit. About a tenth of a second."""

_CHARACTERS_PER_STEP = 100
"""Characters of an error's message, which quotes the value, that take as long as a step."""
_VISITS_MEMBERS = frozenset({"additionalProperties", "contains", "items", "propertyNames", "uniqueItems"})
"""Keywords that visit all members of a value."""

_COMPLETE = frozenset({"end_turn", "stop_sequence"})
"""Stop reasons of responses that can be checked: others may be cut."""

_steps_left: ContextVar[list[int]] = ContextVar("steps_left")

_Keyword = Callable[..., Iterable[object] | None]


@value_object
class OutputFormat:
    """The format of the response's text.

    Attributes:
        schema: The client's JSON schema; None: any JSON object.
        param: The request's field.
    """

    schema: JSONObject | None = None
    param: str = "response_format"

    @property
    def is_object(self) -> bool:
        """Whether only an object fits the format."""
        return self.schema is None or self.schema.get("type") == "object"


def schema_format(schema: JSONObject, param: str, path: str, warnings: list[RequestWarning]) -> OutputFormat:
    """Return the format of a client's schema.

    Args:
        schema: The schema.
        param: The field of the format.
        path: The path of the schema in the request.
        warnings: Receives what was repaired in a schema that the API would refuse.

    Raises:
        InvalidRequest: The schema is empty, or nested too deeply.
    """
    if not schema:
        raise InvalidRequest(f"The schema in `{path}` is empty.", param=path)
    check_depth(schema, path)
    repair = SchemaRepair()
    repaired = repair.repair(schema)
    if repair.repairs:
        warnings.append(RequestWarning("mapped", path, repair.summary()))
    return OutputFormat(repaired, param)


def api_format(output_format: OutputFormat) -> JSONObject | None:
    """Return `output_config.format` of the body; None if the API cannot enforce the format."""
    if output_format.schema is None or unenforceable_part(output_format.schema) is not None:
        return None
    return {"type": "json_schema", "schema": api_schema(output_format.schema)}


def format_instruction(output_format: OutputFormat, warnings: list[RequestWarning]) -> str | None:
    """Return an instruction for the model if the API cannot enforce the format."""
    if output_format.schema is None:
        return OBJECT_INSTRUCTION
    if (unenforceable := unenforceable_part(output_format.schema)) is None:
        return None
    detail = f"Claude's structured output does not support {unenforceable}; the schema was sent as an instruction."
    warnings.append(RequestWarning("mapped", output_format.param, detail))
    return SCHEMA_INSTRUCTION.format(schema=msgspec.json.encode(output_format.schema).decode())


def format_mismatch(answer: AccumulatedMessage, output_format: OutputFormat | None) -> UpstreamFailed | None:
    """Return the error `schema_mismatch` if a complete text does not match its format.

    A message with tool calls is not checked: the text comes in a later response.
    """
    message = answer.message
    if output_format is None or message.get("stop_reason") not in _COMPLETE:
        return None
    blocks = message.get("content", [])
    if any(block.get("type") == "tool_use" for block in blocks):
        return None
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    problem = _text_problem(text, output_format)
    if problem is None:
        return None
    error_text = f"Claude's response does not match `{output_format.param}`: {problem}."
    return UpstreamFailed(error_text, code="schema_mismatch", param=output_format.param)


def _text_problem(text: str, output_format: OutputFormat) -> str | None:
    try:
        value = cast("JSON", msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return "it is not valid JSON"
    if output_format.schema is not None:
        return schema_error(value, output_format.schema)
    return None if isinstance(value, dict) else "it is not a JSON object"


def arguments_warning(
    name: str, arguments: JSON, schemas: Mapping[str, JSONObject], param: str
) -> RequestWarning | None:
    """Return a warning if a call's arguments do not match the client's schema."""
    schema = schemas.get(name)
    if not schema or not (problem := schema_error(arguments, schema)):
        return None
    return RequestWarning("schema_mismatch", param, f"The arguments of `{name}` do not match its schema: {problem}.")


def schema_error(value: JSON, schema: JSONObject) -> str | None:
    """Return the first mismatch of a value and a client's schema, in one line.

    A client's schema must not block the event loop: its regular expressions are never run, and the number of steps is
    limited. References and unions can multiply the steps of a small schema, and so can a long value.

    Returns:
        The mismatch; None if the value matches, if the schema is invalid, or if checking it takes too long.
    """
    # Imported late: the import takes a tenth of a second, and most responses are free text.
    exceptions = import_module("jsonschema.exceptions")
    referencing = import_module("referencing")
    _steps_left.set([MAX_STEPS])
    try:
        if not _is_valid(schema):
            return None
        # With an empty registry, no reference is fetched.
        errors = _validator()(schema, registry=referencing.Registry()).iter_errors(value)
        worst = exceptions.best_match(errors)
    except (
        referencing.exceptions.Unresolvable,
        ArithmeticError,
        RecursionError,
        _TooManyStepsError,
    ):
        return None
    if worst is None:
        return None
    path = worst.json_path.removeprefix("$").lstrip(".")
    return f"{path or 'the value'}: {worst.message[:200]}"


class _TooManyStepsError(Exception):
    """Checking a value takes too long."""


def _is_valid(schema: JSONObject) -> bool:
    """Return whether a schema is valid: then nothing in it has to be repaired."""
    repair = SchemaRepair()
    repair.repair(schema)
    return not repair.repairs


def _spend(steps: int) -> None:
    left = _steps_left.get()
    left[0] -= steps
    if left[0] < 0:
        raise _TooManyStepsError


@cache
def _validator() -> Any:
    jsonschema = import_module("jsonschema")
    standard = jsonschema.Draft202012Validator
    keywords: dict[str, _Keyword] = {**standard.VALIDATORS}
    keywords |= dict.fromkeys(("pattern", "patternProperties"), _skip)
    keywords |= {key: _without_patterns(keywords[key]) for key in ("additionalProperties", "unevaluatedProperties")}
    keywords["uniqueItems"] = _unique_items
    counted = {name: _counted(keyword, visits=name in _VISITS_MEMBERS) for name, keyword in keywords.items()}
    validator = jsonschema.validators.extend(standard, counted)
    validator.evolve = _evolve(validator.evolve)
    return validator


def _skip(*_: object) -> tuple[()]:
    return ()


def _without_patterns(keyword: _Keyword) -> _Keyword:
    def check(validator: object, value: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        return () if "patternProperties" in schema else keyword(validator, value, instance, schema) or ()

    return check


def _unique_items(validator: Any, is_unique: JSON, instance: JSON, _schema: JSONObject) -> Iterable[object]:
    """Check `uniqueItems` by the items' JSON: the library's own check takes the square of their number."""
    if is_unique is True and validator.is_type(instance, "array"):
        items = [msgspec.json.encode(item, order="sorted") for item in cast("list[JSON]", instance)]
        if len(set(items)) < len(items):
            yield import_module("jsonschema.exceptions").ValidationError("the items are not unique")


def _counted(keyword: _Keyword, *, visits: bool) -> _Keyword:
    """Return a keyword that counts its steps."""

    def check(validator: object, value: JSON, instance: JSON, schema: JSONObject) -> Iterator[object]:
        _spend(1 + _length(value) + (_length(instance) if visits else 0))
        for error in keyword(validator, value, instance, schema) or ():
            _spend(len(cast("Any", error).message) // _CHARACTERS_PER_STEP)
            yield error

    return check


def _length(value: JSON) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _evolve(evolve: Callable[..., object]) -> Callable[..., object]:
    """Ignore `$schema` in a part of a schema: the part would get that draft's own keywords, patterns included."""

    def evolved(validator: object, **changes: object) -> object:
        _spend(1)
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: value for key, value in cast("JSONObject", schema).items() if key != "$schema"}
        return evolve(validator, **changes)

    return evolved
