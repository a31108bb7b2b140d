"""Build a value that fits a JSON schema from the strings and numbers of a prompt."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.json_values import int_of, list_of, object_of, objects_of, text_of
from dragoman.simulator.request import Prompt

_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "date": "2026-11-01",
        "date-time": "2026-11-01T12:00:00Z",
        "time": "12:00:00Z",
        "duration": "P1D",
        "email": "someone@example.com",
        "hostname": "example.com",
        "ipv4": "192.0.2.1",
        "ipv6": "2001:db8::1",
        "uri": "https://example.com/",
        "uuid": "00000000-0000-4000-8000-000000000000",
    }
)
_MAX_OPTIONAL_DEPTH = 6
"""From this depth on, only what the schema requires is built, so that a recursive schema ends."""
_CANDIDATE_STEPS = (
    ("minimum", 0),
    ("maximum", 0),
    ("multipleOf", 0),
    ("exclusiveMinimum", 1),
    ("exclusiveMaximum", -1),
)
"""The bounds of a number, and the distance of a number that can fit."""


def value_for_schema(schema: JSONObject, prompt: Prompt) -> JSON:
    """Return a value that fits the schema. It uses the prompt's quoted strings and numbers in order."""
    return _ValueBuilder(schema, prompt.quoted_strings(), prompt.numbers()).build(schema, "value", 0)


class _ValueBuilder:
    """Builds the value of one schema. Each string and number is used once."""

    def __init__(self, root: JSONObject, strings: list[str], numbers: list[float]) -> None:
        self._root = root
        self._strings = strings
        self._numbers = numbers

    def build(self, schema: JSONObject, name: str, depth: int) -> JSON:
        """Return a value that fits a part of the schema.

        Args:
            schema: The part.
            name: The name of the property, which is the default of a string.
            depth: How many objects and arrays contain the value.
        """
        schema = self._resolve(schema, depth)
        if choices := [schema["const"]] if "const" in schema else list_of(schema.get("enum")):
            return self._choice(choices)
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case kind:
                return self._scalar(schema, name, kind)

    def _scalar(self, schema: JSONObject, name: str, kind: str) -> JSON:
        match kind:
            case "string":
                return self._string(schema, name)
            case "integer" | "number":
                return self._number(schema, is_integer=kind == "integer")
            case _:
                return True if kind == "boolean" else None

    def _resolve(self, schema: JSONObject, depth: int) -> JSONObject:
        """Return the schema without `$ref`, `allOf`, `anyOf` and `oneOf`."""
        while True:
            if reference := text_of(schema.get("$ref")):
                schema = self._look_up(reference)
            elif parts := objects_of(schema.get("allOf")):
                own = {k: v for k, v in schema.items() if k != "allOf"}
                schema = _merge([own, *(self._resolve(part, 0) for part in parts)])
            elif options := objects_of(schema.get("anyOf")) or objects_of(schema.get("oneOf")):
                own = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
                schema = _merge([own, _choose_option(options, depth)])
            else:
                return schema

    def _look_up(self, reference: str) -> JSONObject:
        target: JSON = self._root
        for key in reference.removeprefix("#").split("/")[1:]:
            target = object_of(target).get(key.replace("~1", "/").replace("~0", "~"))
        return object_of(target)

    def _object(self, schema: JSONObject, depth: int) -> JSONObject:
        """Return an object with all properties; if it is deep, only with the required ones."""
        required = list_of(schema.get("required"))
        properties = object_of(schema.get("properties"))
        keys = [*properties, *(k for k in required if k not in properties)] if depth < _MAX_OPTIONAL_DEPTH else required
        return {
            text_of(key): self.build(object_of(properties.get(text_of(key))), text_of(key), depth + 1) for key in keys
        }

    def _array(self, schema: JSONObject, name: str, depth: int) -> list[JSON]:
        prefix = [self.build(item, name, depth + 1) for item in objects_of(schema.get("prefixItems"))]
        default_count = 0 if depth >= _MAX_OPTIONAL_DEPTH or prefix else 1
        count = max(int_of(schema.get("minItems")) or 0, default_count)
        max_items = int_of(schema.get("maxItems"))
        count = count if max_items is None else min(count, max_items)
        items = object_of(schema.get("items"))
        return prefix + [self.build(items, name, depth + 1) for _ in range(count - len(prefix))]

    def _string(self, schema: JSONObject, name: str) -> str:
        if format_ := text_of(schema.get("format")):
            return _FORMATS.get(format_, name)
        min_length, max_length = int_of(schema.get("minLength")) or 0, int_of(schema.get("maxLength"))
        pattern = text_of(schema.get("pattern"))
        for index, text in enumerate(self._strings):
            fits = len(text) >= min_length and (max_length is None or len(text) <= max_length)
            if fits and re.search(pattern, text):
                return self._strings.pop(index)
        return name.ljust(min_length, "x")[:max_length]

    def _number(self, schema: JSONObject, *, is_integer: bool) -> int | float:
        for index, number in enumerate(self._numbers):
            if (not is_integer or number == int(number)) and _is_in_range(number, schema):
                found = self._numbers.pop(index)
                return int(found) if is_integer else found
        return _small_number(schema)

    def _choice(self, choices: list[JSON]) -> JSON:
        """Return the first choice that is a string or number of the prompt, else the first one."""
        given = [*self._strings, *self._numbers]
        return next((choice for choice in choices if choice in given), choices[0])


def _type_of(schema: JSONObject) -> str:
    types = schema.get("type")
    if isinstance(types, list):
        return next((text_of(t) for t in types if t != "null"), "null")
    if isinstance(types, str):
        return types
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _choose_option(options: list[JSONObject], depth: int) -> JSONObject:
    """Return the first option that is not null; null if the value is deep, so that recursion ends."""
    null = [option for option in options if option.get("type") == "null"]
    if null and depth >= _MAX_OPTIONAL_DEPTH:
        return null[0]
    return next((option for option in options if option.get("type") != "null"), options[0])


def _merge(schemas: list[JSONObject]) -> JSONObject:
    merged: JSONObject = {}
    for schema in schemas:
        properties = {**object_of(merged.get("properties")), **object_of(schema.get("properties"))}
        required = [*list_of(merged.get("required")), *list_of(schema.get("required"))]
        merged = {**merged, **schema}
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _is_in_range(number: float, schema: JSONObject) -> bool:
    minimum, exclusive_minimum = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    maximum, exclusive_maximum = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf")
    return (
        (minimum is None or number >= minimum)
        and (exclusive_minimum is None or number > exclusive_minimum)
        and (maximum is None or number <= maximum)
        and (exclusive_maximum is None or number < exclusive_maximum)
        and (not step or number % step == 0)
    )


def _small_number(schema: JSONObject) -> int | float:
    """Return a small number within the schema's bounds: 1 if it fits."""
    candidates: list[int | float] = [1, 0]
    for key, step in _CANDIDATE_STEPS:
        if (bound := _bound(schema, key)) is not None:
            candidates.append(bound + step)
    return next((number for number in candidates if _is_in_range(number, schema)), candidates[-1])


def _bound(schema: JSONObject, key: str) -> int | float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) else None
