"""A value that fits a JSON schema, made of the strings and numbers of a prompt."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.json_values import list_of, number_of, object_of, objects_of, text_of

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
_DEPTH = 12
"""Where a schema that refers to itself is left."""


class Filler:
    """Fills one schema; strings and numbers are used up in the order of the prompt."""

    def __init__(self, schema: JSONObject, strings: list[str], numbers: list[float]) -> None:
        self._schema = schema
        self._strings = list(strings)
        self._numbers = list(numbers)

    def value(self) -> JSON:
        """A value that fits the schema."""
        return self._fill(self._schema, "value", 0)

    def _fill(self, schema: JSONObject, name: str, depth: int) -> JSON:
        schema = self._resolved(schema, depth)
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
                return self._number(schema, whole=kind == "integer")
            case _:
                return True if kind == "boolean" else None

    def _resolved(self, schema: JSONObject, depth: int) -> JSONObject:
        """Without `$ref`, `allOf`, `anyOf` and `oneOf`: the first that is not null, or null where it gets too deep."""
        while True:
            if reference := text_of(schema.get("$ref")):
                schema = self._referred(reference)
            elif parts := objects_of(schema.get("allOf")):
                schema = _merged([{k: v for k, v in schema.items() if k != "allOf"}, *map(self._flat, parts)])
            elif options := objects_of(schema.get("anyOf")) or objects_of(schema.get("oneOf")):
                rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
                schema = _merged([rest, _option(options, depth)])
            else:
                return schema

    def _flat(self, schema: JSONObject) -> JSONObject:
        return self._resolved(schema, 0)

    def _referred(self, reference: str) -> JSONObject:
        found: JSON = self._schema
        for key in reference.removeprefix("#").split("/")[1:]:
            found = object_of(found).get(key.replace("~1", "/").replace("~0", "~"))
        return object_of(found)

    def _object(self, schema: JSONObject, depth: int) -> JSONObject:
        """All properties; below a certain depth only those that are required."""
        required = list_of(schema.get("required"))
        properties = object_of(schema.get("properties"))
        wanted = required if depth >= _DEPTH // 2 else [*properties, *(k for k in required if k not in properties)]
        return {
            text_of(key): self._fill(object_of(properties.get(text_of(key))), text_of(key), depth + 1) for key in wanted
        }

    def _array(self, schema: JSONObject, name: str, depth: int) -> list[JSON]:
        first = [self._fill(item, name, depth + 1) for item in objects_of(schema.get("prefixItems"))]
        least = number_of(schema.get("minItems")) or 0
        count = max(least, 0 if depth >= _DEPTH // 2 or first else 1)
        most = number_of(schema.get("maxItems"))
        count = count if most is None else min(count, most)
        items = object_of(schema.get("items"))
        return first + [self._fill(items, name, depth + 1) for _ in range(count - len(first))]

    def _string(self, schema: JSONObject, name: str) -> str:
        if format_ := text_of(schema.get("format")):
            return _FORMATS.get(format_, name)
        least, most = number_of(schema.get("minLength")) or 0, number_of(schema.get("maxLength"))
        pattern = text_of(schema.get("pattern"))
        for place, text in enumerate(self._strings):
            if len(text) >= least and (most is None or len(text) <= most) and re.search(pattern, text):
                return self._strings.pop(place)
        return name.ljust(least, "x")[:most]

    def _number(self, schema: JSONObject, *, whole: bool) -> int | float:
        for place, number in enumerate(self._numbers):
            if (not whole or number == int(number)) and _in_range(number, schema):
                found = self._numbers.pop(place)
                return int(found) if whole else found
        return _least(schema)

    def _choice(self, choices: list[JSON]) -> JSON:
        """The first choice that the prompt quotes or counts, else the first."""
        said = [*self._strings, *self._numbers]
        return next((choice for choice in choices if choice in said), choices[0])


def _type_of(schema: JSONObject) -> str:
    types = schema.get("type")
    if isinstance(types, list):
        return next((text_of(t) for t in types if t != "null"), "null")
    if isinstance(types, str):
        return types
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _option(options: list[JSONObject], depth: int) -> JSONObject:
    """The first option that is not null; null as soon as the value is deep, so that recursion ends."""
    null = [option for option in options if option.get("type") == "null"]
    if null and depth >= _DEPTH // 2:
        return null[0]
    return next((option for option in options if option.get("type") != "null"), options[0])


def _merged(schemas: list[JSONObject]) -> JSONObject:
    merged: JSONObject = {}
    for schema in schemas:
        properties = {**object_of(merged.get("properties")), **object_of(schema.get("properties"))}
        required = [*list_of(merged.get("required")), *list_of(schema.get("required"))]
        merged = {**merged, **schema}
        if properties:
            merged |= {"properties": properties, "required": required}
    return merged


def _in_range(number: float, schema: JSONObject) -> bool:
    def bound(key: str) -> float | None:
        value = schema.get(key)
        return value if isinstance(value, int | float) else None

    low, above = bound("minimum"), bound("exclusiveMinimum")
    high, below = bound("maximum"), bound("exclusiveMaximum")
    step = bound("multipleOf")
    return (
        (low is None or number >= low)
        and (above is None or number > above)
        and (high is None or number <= high)
        and (below is None or number < below)
        and (not step or number % step == 0)
    )


def _least(schema: JSONObject) -> int | float:
    """A small number within the schema's bounds: 1 where that fits."""
    candidates: list[int | float] = [1, 0]
    for key in ("minimum", "maximum", "multipleOf"):
        value = schema.get(key)
        if isinstance(value, int | float):
            candidates.append(value)
    for key, step in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        value = schema.get(key)
        if isinstance(value, int | float):
            candidates.append(value + step)
    return next((number for number in candidates if _in_range(number, schema)), candidates[-1])
