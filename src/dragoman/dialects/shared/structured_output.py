"""Structured output: the API's own for JSON schemas, and an instruction for formats that the API does not support.

Also the checks of a response: its text against its format, and tool arguments against the client's schema.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.schema_repair import SchemaRepair
from dragoman.dialects.shared.schemas import api_schema, check_depth, unenforceable_part

# Stored thinking is bound to these words: a change makes it invalid.
OBJECT_INSTRUCTION = (
    "Answer with exactly one valid JSON object and nothing else: no words around it, and no code fence."
)

SCHEMA_INSTRUCTION = (
    "Answer with exactly one valid JSON value that fits the JSON schema below, and nothing else: no words around it, "
    "and no code fence.\n\n{schema}"
)

MAX_REFERENCES = 10_000
"""References followed in one check, about half a second. A list of as many items that refer to one schema has fewer."""

_COMPLETE = frozenset({"end_turn", "stop_sequence"})
"""Stop reasons of responses that can be checked: others may be cut."""

_references: ContextVar[Iterator[int]] = ContextVar("references")

_Keyword = Callable[..., Iterable[object] | None]


@dataclass(frozen=True, slots=True)
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

    A client's schema must not block the event loop: its regular expressions are never run, and the number of
    references that are followed is limited.

    Returns:
        The mismatch; None if the value matches, if the schema is invalid, or if checking it takes too long.
    """
    # Imported late: the import takes a tenth of a second, and most responses are free text.
    exceptions = import_module("jsonschema.exceptions")
    referencing = import_module("referencing")
    _references.set(itertools.count())
    try:
        _validator().check_schema(schema)
        # With an empty registry, no reference is fetched.
        errors = _validator()(schema, registry=referencing.Registry()).iter_errors(value)
        worst = exceptions.best_match(errors)
    except (
        exceptions.SchemaError,
        referencing.exceptions.Unresolvable,
        ArithmeticError,
        RecursionError,
        _TooManyReferencesError,
    ):
        return None
    if worst is None:
        return None
    path = worst.json_path.removeprefix("$").lstrip(".")
    return f"{path or 'the value'}: {worst.message[:200]}"


class _TooManyReferencesError(Exception):
    """Checking a value takes too long."""


@cache
def _validator() -> Any:
    jsonschema = import_module("jsonschema")
    standard = jsonschema.Draft202012Validator
    keywords = standard.VALIDATORS
    safe: dict[str, _Keyword] = dict.fromkeys(("pattern", "patternProperties"), _skip)
    safe |= {key: _without_patterns(keywords[key]) for key in ("additionalProperties", "unevaluatedProperties")}
    safe |= {key: _counted(keywords[key]) for key in ("$ref", "$dynamicRef")}
    validator = jsonschema.validators.extend(standard, safe)
    validator.evolve = _evolve(validator.evolve)
    return validator


def _skip(*_: object) -> tuple[()]:
    return ()


def _without_patterns(keyword: _Keyword) -> _Keyword:
    def check(validator: object, value: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        return () if "patternProperties" in schema else keyword(validator, value, instance, schema) or ()

    return check


def _counted(keyword: _Keyword) -> _Keyword:
    def check(validator: object, value: JSON, instance: JSON, schema: JSONObject) -> Iterable[object]:
        if next(_references.get()) >= MAX_REFERENCES:
            raise _TooManyReferencesError
        return keyword(validator, value, instance, schema) or ()

    return check


def _evolve(evolve: Callable[..., object]) -> Callable[..., object]:
    """Ignore `$schema` in a part of a schema: the part would get that draft's own keywords, patterns included."""

    def evolved(validator: object, **changes: object) -> object:
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: value for key, value in cast("JSONObject", schema).items() if key != "$schema"}
        return evolve(validator, **changes)

    return evolved
