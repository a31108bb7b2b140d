"""Short terms for JSON schemas, for the lists of fields in `openai_objects` and `open_responses_objects`."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
ANY: Schema = {}


def fields(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object. Other fields are allowed, as in the published descriptions."""
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}}


def array(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def string_map() -> Schema:
    """Return the schema of an object whose values are strings."""
    return {"type": "object", "additionalProperties": STRING}


def enum(*values: str) -> Schema:
    """Return the schema of one of these strings."""
    return {"enum": [*values]}


def number(minimum: float, maximum: float) -> Schema:
    """Return the schema of a number in a range."""
    return {"type": "number", "minimum": minimum, "maximum": maximum}


def either(*schemas: Schema) -> Schema:
    """Return the schema of a value that fits one of these schemas."""
    return {"anyOf": [*schemas]}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that can be null."""
    return either(schema, {"type": "null"})


def extended(base: Schema, required: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with the fields of another one, and further required fields."""
    return {"allOf": [base, fields(required)]}
