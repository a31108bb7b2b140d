"""Repair schemas that are not valid in JSON Schema 2020-12, the only version that the API takes.

The API refuses the entire request for one keyword in one tool. Clients send such schemas: other programs
wrote them, in older versions of JSON Schema or in the style of another provider.

Source: https://json-schema.org/draft/2020-12/schema
"""

import re
from collections.abc import Callable, Mapping
from operator import is_
from types import MappingProxyType
from typing import cast

from dragoman.core.messages import JSON, JSONObject

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_OTHER_TYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bool": "boolean",
        "dict": "object",
        "double": "number",
        "float": "number",
        "int": "integer",
        "list": "array",
        "long": "integer",
        "map": "object",
        "none": "null",
        "str": "string",
        "text": "string",
        "tuple": "array",
    }
)

_SCHEMAS = (
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_STRINGS = ("$comment", "contentEncoding", "contentMediaType", "description", "format", "pattern", "title")
_NUMBERS = ("exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf")
_COUNTS = (
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
)
_FLAGS = ("deprecated", "readOnly", "uniqueItems", "writeOnly")
_LISTS = ("enum", "examples")
_ANCHORS = ("$anchor", "$dynamicAnchor", "$recursiveAnchor")
_REFERENCES = ("$dynamicRef", "$recursiveRef", "$ref", "$schema")

_ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
_ID = re.compile(r"[^#]*#?")

_MAX_LISTED_REPAIRS = 3
_MAX_PATH_LENGTH = 80


class SchemaRepair:
    """Repairs one schema. What is valid stays the same object.

    The caller has checked how deeply the schema is nested: the methods recurse.

    Attributes:
        repairs: The paths of the keywords that were changed or left out.
    """

    def __init__(self) -> None:
        self.repairs: list[str] = []

    def summary(self) -> str:
        """Return the repairs in one sentence."""
        listed = ", ".join(f"`{path[:_MAX_PATH_LENGTH]}`" for path in self.repairs[:_MAX_LISTED_REPAIRS])
        more = len(self.repairs) - _MAX_LISTED_REPAIRS
        others = f" and {more} more" if more > 0 else ""
        return f"The schema is not valid JSON Schema 2020-12, and was repaired: {listed}{others}."

    def repair(self, schema: JSONObject, path: str = "") -> JSONObject:
        """Return a valid schema, without the keywords whose values mean nothing in this version."""
        repaired: JSONObject = {}
        for key, value in schema.items():
            fixed = self._keyword(key, value, f"{path}.{key}" if path else key)
            if fixed is not _NOTHING:
                repaired[key] = cast("JSON", fixed)
        if isinstance(schema.get("items"), list):
            self._split_tuple(schema, repaired, path)
        for limit in ("Minimum", "Maximum"):
            _convert_exclusive(schema, repaired, limit)
        if required := _required_names(schema, repaired):
            repaired["required"] = required
        return schema if _is_same(schema, repaired) else repaired

    def _keyword(self, key: str, value: JSON, path: str) -> object:
        """Return the valid value of a keyword; `_NOTHING` to leave the keyword out."""
        if key == "items" and isinstance(value, list):
            return _NOTHING  # one schema for each position: `_split_tuple` converts it
        if key in _SCHEMAS:
            return self._subschema(value, path, _NOTHING)
        if key in _SCHEMA_MAPS or key == "dependencies":
            return self._schema_map(value, path)
        if key in _SCHEMA_LISTS:
            return self._schema_list(value, path)
        if key == "type":
            return self._type(value, path)
        check = _CHECKS.get(key)
        return value if check is None or check(value) else self._drop(path)

    def _subschema(self, value: JSON, path: str, otherwise: object) -> object:
        """Return a valid schema inside of another one; `otherwise` if the value is no schema."""
        if isinstance(value, dict):
            return self.repair(value, path)
        if isinstance(value, bool):
            return value
        self._drop(path)
        return otherwise

    def _schema_map(self, value: JSON, path: str) -> object:
        """Return valid schemas by name. A list of names is one of `dependencies`."""
        if not isinstance(value, dict):
            return self._drop(path)
        parts: JSONObject = {}
        for name, part in value.items():
            is_names = path.endswith("dependencies") and _is_names(part)
            parts[name] = part if is_names else cast("JSON", self._subschema(part, f"{path}.{name}", {}))
        return value if _is_same(value, parts) else parts

    def _schema_list(self, value: JSON, path: str) -> object:
        if not isinstance(value, list) or not value:
            return self._drop(path)
        parts: list[object] = []
        for index, part in enumerate(value):
            parts.append(self._subschema(part, f"{path}[{index}]", {}))
        return value if all(map(is_, parts, value)) else parts

    def _type(self, value: JSON, path: str) -> object:
        """Return known types. A type with another name, such as `any`, allows every value."""
        names = value if isinstance(value, list) else [value]
        known = [_type_name(name) for name in names] if value is not None else []
        if known == names and len(set(known)) == len(known) > 0:
            return value
        self.repairs.append(path)
        if None in known or not known:
            return _NOTHING
        distinct = list(dict.fromkeys(known))
        return distinct if len(distinct) > 1 else distinct[0]

    def _split_tuple(self, schema: JSONObject, repaired: JSONObject, path: str) -> None:
        """Convert a list of `items`, one for each position, to `prefixItems`."""
        path = f"{path}.items".lstrip(".")
        rest = repaired.pop("additionalItems", None)
        parts = self._schema_list(schema["items"], path)
        if parts is not _NOTHING:
            self.repairs.append(path)
            repaired["prefixItems"] = cast("JSON", parts)
        if isinstance(rest, dict | bool):
            repaired["items"] = cast("JSON", self._subschema(rest, "additionalItems", {}))

    def _drop(self, path: str) -> object:
        self.repairs.append(path)
        return _NOTHING


class _Nothing:
    """The value of a keyword that is left out."""


_NOTHING = _Nothing()


def _is_same(before: JSONObject, after: JSONObject) -> bool:
    """Return whether a repair changed nothing."""
    return before.keys() == after.keys() and all(after[key] is before[key] for key in before)


def _type_name(name: JSON) -> str | None:
    """Return the name of a type in JSON Schema; None if there is no such type."""
    if name is None:
        return "null"
    if not isinstance(name, str):
        return None
    lower = name.lower()
    return lower if lower in _TYPES else _OTHER_TYPE_NAMES.get(lower)


def _required_names(schema: JSONObject, repaired: JSONObject) -> list[JSON]:
    """Return the names that become required; an empty list if nothing changes.

    In old schemas, `required: true` is inside of the property.
    """
    properties = schema.get("properties")
    parts = properties.items() if isinstance(properties, dict) else ()
    marked = [name for name, part in parts if isinstance(part, dict) and part.get("required") is True]
    if not marked and ("required" in repaired or "required" not in schema):
        return []
    given = schema.get("required")
    names = given if isinstance(given, list) else [given]
    return [*dict.fromkeys([*(name for name in names if isinstance(name, str)), *marked])]


def _convert_exclusive(schema: JSONObject, repaired: JSONObject, limit: str) -> None:
    """Convert `exclusiveMinimum: true` beside `minimum: 1` to `exclusiveMinimum: 1`."""
    bound = schema.get(limit.lower())
    if schema.get(f"exclusive{limit}") is True and _is_number(bound):
        repaired[f"exclusive{limit}"] = repaired.pop(limit.lower())


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: JSON) -> bool:
    return _is_number(value) and cast("float", value) > 0


def _is_count(value: JSON) -> bool:
    is_integer = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_integer and _is_number(value) and cast("float", value) >= 0


def _is_names(value: JSON) -> bool:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return False
    return len(set(cast("list[str]", value))) == len(value)


def _is_name_lists(value: JSON) -> bool:
    return isinstance(value, dict) and all(_is_names(names) for names in value.values())


def _is_string(value: JSON) -> bool:
    return isinstance(value, str)


def _is_anchor(value: JSON) -> bool:
    return isinstance(value, str) and _ANCHOR.fullmatch(value) is not None


def _is_id(value: JSON) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_vocabulary(value: JSON) -> bool:
    return isinstance(value, dict) and all(isinstance(part, bool) for part in value.values())


_CHECKS: Mapping[str, Callable[[JSON], bool]] = MappingProxyType(
    {
        **dict.fromkeys(_STRINGS, _is_string),
        **dict.fromkeys(_REFERENCES, _is_string),
        **dict.fromkeys(_ANCHORS, _is_anchor),
        **dict.fromkeys(_NUMBERS, _is_number),
        **dict.fromkeys(_COUNTS, _is_count),
        **dict.fromkeys(_FLAGS, lambda value: isinstance(value, bool)),
        **dict.fromkeys(_LISTS, lambda value: isinstance(value, list)),
        "$id": _is_id,
        "$vocabulary": _is_vocabulary,
        "dependentRequired": _is_name_lists,
        "multipleOf": _is_positive,
        "required": _is_names,
    }
)
"""What the value of a keyword must be. Unknown keywords may have any value."""

KNOWN_KEYWORDS = (*_CHECKS, *_SCHEMAS, *_SCHEMA_LISTS, *_SCHEMA_MAPS, "additionalItems", "dependencies", "type")
"""The keywords whose values are checked."""
