"""JSON schemas of clients, in the subset that the API takes.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (limits of JSON schema)
"""

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import cast

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_KEPT = frozenset({"type", "enum", "const", "title", "description", "required", "$ref"})
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")
_DROPPED = frozenset({"$schema", "$id", "additionalProperties", "$comment"})
UNIONS = frozenset({"anyOf", "oneOf", "allOf"})
"""What the API does not take at the top of a tool's schema."""

_DEEPEST = 200
"""Objects and lists inside of each other. No schema for people has as many, and what reads them recurses."""


def closed(schema: JSONObject) -> JSONObject:
    """A schema as the API's structured output takes it: closed objects, and no limits on values.

    Limits that the API cannot enforce go into the description, where the model reads them.
    """
    made: JSONObject = {}
    rest: JSONObject = {}
    for key, value in schema.items():
        _take(key, value, made, rest)
    if _is_object(made):
        made.setdefault("type", "object")
        made["additionalProperties"] = False
    if "$ref" in made:
        return {key: value for key, value in made.items() if key in ("$ref", "$defs", "definitions")}
    if rest:
        said = ", ".join(f"{key}: {_json(value)}" for key, value in rest.items())
        made["description"] = f"{made.get('description') or ''}\n\n{{{said}}}".lstrip()
    return made


def not_enforced(schema: JSONObject) -> str | None:
    """What is in a schema that the API cannot hold a model to, in words; none where it can."""
    if has_open_objects(schema):
        return "objects with other keys than named ones"
    return "schemas that refer to themselves" if _refers_to_itself(schema) else None


def check_depth(schema: JSONObject, param: str) -> None:
    """Refuse what is nested too deeply to be read.

    Raises:
        InvalidRequest: It is.
    """
    level: list[JSON] = [schema]
    for _ in range(_DEEPEST):
        inside = (value.values() if isinstance(value, dict) else cast("list[JSON]", value) for value in level)
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
        if not level:
            return
    raise InvalidRequest(f"`{param}` is nested more than {_DEEPEST} levels deep.", param=param)


def has_open_objects(schema: JSONObject) -> bool:
    """Whether keys may come that the schema does not name: closed, nothing could be said under them."""
    if _is_object(schema):
        more = schema.get("additionalProperties")
        if isinstance(more, dict) or schema.get("patternProperties"):
            return True
        if not schema.get("properties") and (more is True or (more is None and "properties" not in schema)):
            return True
    return any(has_open_objects(part) for part in _parts(schema))


def tool_input(schema: JSONObject | None, param: str) -> JSONObject:
    """A schema as the API takes it for a tool's input: an object at the top, without `anyOf` and the like there.

    Raises:
        InvalidRequest: The schema describes something else than an object, or is nested too deeply.
    """
    check_depth(schema or {}, param)
    made = _resolved(dict(schema or {}))
    for union in sorted(UNIONS):
        members = made.pop(union, None)
        if isinstance(members, list):
            _merge(made, [_resolved({**m, **_definitions(made)}) for m in members if isinstance(m, dict)], union)
    kind = made.get("type")
    if kind is None or (isinstance(kind, list) and "object" in kind):
        made = {**made, "type": "object"}
    if made["type"] != "object":
        raise InvalidRequest(
            f"`{param}` must describe an object, not `{_json(kind)}`.", code="invalid_function_parameters", param=param
        )
    if not isinstance(made.get("properties"), dict):
        made["properties"] = {}
    return made


def _take(key: str, value: JSON, made: JSONObject, rest: JSONObject) -> None:
    if key in _KEPT or (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
        made[key] = value
    elif key in _MAPS and isinstance(value, dict):
        made[key] = {name: _part(part) for name, part in value.items()}
    elif key == "items":
        made[key] = _part(value)
    elif key in _LISTS and isinstance(value, list):
        made[key] = [_part(part) for part in value]
    elif key == "oneOf" and isinstance(value, list):
        made["anyOf"] = [_part(part) for part in value]
    elif key not in _DROPPED:
        rest[key] = value


def _part(part: JSON) -> JSON:
    return closed(part) if isinstance(part, dict) else part


def _parts(schema: JSONObject) -> Iterator[JSONObject]:
    """The schemas right inside a schema."""
    places: list[JSON] = [schema.get("items")]
    for key in _MAPS:
        places += named.values() if isinstance(named := schema.get(key), dict) else ()
    for key in (*_LISTS, "oneOf"):
        places += listed if isinstance(listed := schema.get(key), list) else ()
    return (place for place in places if isinstance(place, dict))


def _is_object(schema: JSONObject) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)
    )


def _definitions(schema: JSONObject) -> JSONObject:
    return {key: schema[key] for key in ("$defs", "definitions") if key in schema}


def _resolved(schema: JSONObject) -> JSONObject:
    """The schema with a reference at its top replaced by what it refers to."""
    seen: set[str] = set()
    while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        found = _lookup(schema, reference)
        if found is None:
            break
        schema = {**_definitions(schema), **{k: v for k, v in schema.items() if k != "$ref"}, **found}
    return schema


def _refers_to_itself(schema: JSONObject) -> bool:
    """Whether a way along the references comes back to where it was."""
    leads: dict[str, set[str]] = {}
    waiting = {"#"}
    while waiting:
        reference = waiting.pop()
        found = schema if reference == "#" else _lookup(schema, reference)
        leads[reference] = set(_references(found or {}))
        waiting |= leads[reference] - leads.keys()
    try:
        TopologicalSorter(leads).prepare()
    except CycleError:
        return True
    return False


def _references(schema: JSONObject) -> Iterator[str]:
    if isinstance(reference := schema.get("$ref"), str):
        yield reference
    for part in _parts(schema):
        yield from _references(part)


def _lookup(schema: JSONObject, reference: str) -> JSONObject | None:
    if not reference.startswith("#/"):
        return None
    place: JSON = schema
    for step in reference[2:].split("/"):
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else None


def _merge(made: JSONObject, members: Iterable[JSONObject], union: str) -> None:
    """Fold the members of a union at the top into the object itself.

    Of alternatives, every property may come and only what all of them require is required; of `allOf`, all of it holds.
    """
    members = [m for m in members if m.get("type") != "null"]
    required = [_strings(m.get("required")) for m in members]
    properties: dict[str, list[JSON]] = {}
    for member in members:
        own = member.get("properties")
        for name, part in (own if isinstance(own, dict) else {}).items():
            properties.setdefault(name, []).append(part)
        for key in ("type", "description"):
            if key in member:
                made.setdefault(key, member[key])
        for key, value in _definitions(member).items():
            made.setdefault(key, value)
    mine = made.get("properties")
    how = "allOf" if union == "allOf" else "anyOf"
    together = {name: _one_of(parts, how) for name, parts in properties.items()}
    made["properties"] = {**together, **(mine if isinstance(mine, dict) else {})}
    if union == "allOf":
        shared = [name for names in required for name in names]
    else:
        shared = [name for name in (required[0] if required else []) if all(name in names for names in required)]
    if names := list(dict.fromkeys([*_strings(made.get("required")), *shared])):
        made["required"] = cast("list[JSON]", names)


def _one_of(parts: list[JSON], how: str) -> JSON:
    """A property that several members describe."""
    different = [part for place, part in enumerate(parts) if part not in parts[:place]]
    return {how: different} if len(different) > 1 else different[0]


def _strings(value: JSON) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _json(value: JSON) -> str:
    return msgspec.json.encode(value).decode()
