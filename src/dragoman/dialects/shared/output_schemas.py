"""JSON schemas of clients, in the subset that the API takes.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (limits of JSON schema)
"""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TypeGuard, cast
from urllib.parse import unquote

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject

MAX_DEPTH = 200
"""Objects and lists inside of each other. Reading a schema recurses."""

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_SUPPORTED = frozenset({"type", "enum", "const", "title", "description", "required", "$ref"})
_SCHEMA_MAPS = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "allOf")
_DROPPED = frozenset({"$schema", "$id", "additionalProperties", "$comment"})

_DEFINITION = re.compile(r"#/(?:\$defs|definitions)/[^/]+")
_INDEX = re.compile(r"[0-9]{1,6}")
_WITH_REFERENCE = _DROPPED | {"$ref", "$defs", "definitions", "title", "description", "default", "examples"}
"""Keywords that a reference may have: the API drops them, and no response is wrong without them."""


def check_depth(schema: JSONObject, param: str) -> None:
    """Refuse a schema that is nested too deeply.

    Raises:
        InvalidRequest: It is.
    """
    level: list[JSON] = [schema]
    for _ in range(MAX_DEPTH):
        inside = (value.values() if isinstance(value, dict) else cast("list[JSON]", value) for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise InvalidRequest(f"`{param}` is nested more than {MAX_DEPTH} levels deep.", param=param)


def api_schema(schema: JSONObject) -> JSONObject:
    """Return a schema as the API's structured output takes it: closed objects, and no limits on values.

    Limits that the API cannot enforce go into the description, where the model reads them.
    """
    schema = _without_lone_all_of(schema)
    supported: JSONObject = {}
    limits: JSONObject = {}
    for key, value in schema.items():
        _sort_keyword(key, value, supported, limits)
    if _is_object(supported):
        supported.setdefault("type", "object")
        supported["additionalProperties"] = False
    if "$ref" in supported:
        return {key: value for key, value in supported.items() if key in ("$ref", "$defs", "definitions")}
    if limits:
        listed = ", ".join(f"{key}: {_json(value)}" for key, value in limits.items())
        supported["description"] = f"{supported.get('description') or ''}\n\n{{{listed}}}".lstrip()
    return supported


def unenforceable_part(schema: JSONObject) -> str | None:
    """Return what in a schema the API cannot enforce, in words; None if it can enforce all."""
    if has_open_objects(schema):
        return "objects with other keys than named ones"
    if _refers_to_itself(schema):
        return "schemas that refer to themselves"
    return next(filter(None, (_unenforceable_keyword(part, schema) for part in _all_subschemas(schema))), None)


def has_open_objects(schema: JSONObject) -> bool:
    """Return whether an object may have keys that the schema does not name. Closed, it could not have them."""
    if _is_object(schema):
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict) or schema.get("patternProperties"):
            return True
        if not schema.get("properties") and (additional is True or (additional is None and "properties" not in schema)):
            return True
    return any(has_open_objects(part) for part in _subschemas(schema))


def _unenforceable_keyword(part: JSONObject, root: JSONObject) -> str | None:
    """Return what in one part of a schema the API cannot enforce, its own subschemas apart."""
    if isinstance(reference := part.get("$ref"), str):
        if not _DEFINITION.fullmatch(reference) or lookup(root, reference) is None:
            return "references to anything but a definition of the same schema"
        if not part.keys() <= _WITH_REFERENCE:
            return "rules next to a `$ref`"
    if "$ref" in _without_lone_all_of(part):
        return None
    members = part.get("allOf")
    objects = [member for member in members if _is_object_or_reference(member)] if isinstance(members, list) else []
    # Each member would be closed by itself, and so forbid the properties of the others.
    if len(objects) > 1 or (objects and _is_object(part)) or any("$ref" in member for member in objects):
        return "objects that are combined by `allOf`"
    return None


def _without_lone_all_of(schema: JSONObject) -> JSONObject:
    """Replace an `allOf` of one reference by the reference: the API does not take it in an `allOf`."""
    members = schema.get("allOf")
    if not isinstance(members, list) or len(members) != 1 or schema.keys() - {"allOf"} - _WITH_REFERENCE:
        return schema
    member = members[0]
    if not isinstance(member, dict) or member.keys() != {"$ref"}:
        return schema
    return {**{key: value for key, value in schema.items() if key != "allOf"}, **member}


def _is_object_or_reference(schema: JSON) -> TypeGuard[JSONObject]:
    return isinstance(schema, dict) and (_is_object(schema) or "$ref" in schema)


def _all_subschemas(schema: JSONObject) -> Iterator[JSONObject]:
    yield schema
    for part in _subschemas(schema):
        yield from _all_subschemas(part)


def _sort_keyword(key: str, value: JSON, supported: JSONObject, limits: JSONObject) -> None:
    """Add a keyword to those that the API supports, or to the limits that it cannot enforce."""
    if key in _SUPPORTED or (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
        supported[key] = value
    elif key in _SCHEMA_MAPS and isinstance(value, dict):
        supported[key] = {name: _api_subschema(part) for name, part in value.items()}
    elif key == "items":
        supported[key] = _api_subschema(value)
    elif key in _SCHEMA_LISTS and isinstance(value, list):
        supported[key] = [_api_subschema(part) for part in value]
    elif key == "oneOf" and isinstance(value, list):
        supported["anyOf"] = [_api_subschema(part) for part in value]
    elif key not in _DROPPED:
        limits[key] = value


def _api_subschema(part: JSON) -> JSON:
    return api_schema(part) if isinstance(part, dict) else part


def _subschemas(schema: JSONObject) -> Iterator[JSONObject]:
    """Return the schemas directly inside a schema."""
    parts: list[JSON] = [schema.get("items")]
    for key in _SCHEMA_MAPS:
        parts += named.values() if isinstance(named := schema.get(key), dict) else ()
    for key in (*_SCHEMA_LISTS, "oneOf"):
        parts += listed if isinstance(listed := schema.get(key), list) else ()
    return (part for part in parts if isinstance(part, dict))


def _is_object(schema: JSONObject) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)
    )


def definitions(schema: JSONObject) -> JSONObject:
    """Return the definitions at the top level of a schema, by their keyword."""
    return {key: schema[key] for key in ("$defs", "definitions") if key in schema}


def resolve_reference(schema: JSONObject) -> JSONObject:
    """Return the schema with a reference at its top level replaced by its target."""
    seen: set[str] = set()
    while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        target = lookup(schema, reference)
        if target is None:
            break
        schema = {**definitions(schema), **{k: v for k, v in schema.items() if k != "$ref"}, **target}
    return schema


def _refers_to_itself(schema: JSONObject) -> bool:
    """Return whether the references of a schema form a cycle."""
    targets: dict[str, set[str]] = {}
    unvisited = {"#"}
    while unvisited:
        reference = unvisited.pop()
        target = schema if reference == "#" else lookup(schema, reference)
        targets[reference] = set(_references(target or {}))
        unvisited |= targets[reference] - targets.keys()
    try:
        TopologicalSorter(targets).prepare()
    except CycleError:
        return True
    return False


def _references(schema: JSONObject) -> Iterator[str]:
    if isinstance(reference := schema.get("$ref"), str):
        yield reference
    for part in _subschemas(schema):
        yield from _references(part)


def lookup(schema: JSONObject, reference: str) -> JSONObject | None:
    """Return the part of a schema that a reference points to; None if there is none, or it is another document's."""
    if not reference.startswith("#/"):
        return None
    part: JSON = schema
    for escaped in reference[2:].split("/"):
        step = unquote(escaped).replace("~1", "/").replace("~0", "~")
        if isinstance(part, list):
            part = part[int(step)] if _INDEX.fullmatch(step) and int(step) < len(part) else None
        else:
            part = part.get(step) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else None


def _json(value: JSON) -> str:
    return msgspec.json.encode(value).decode()
