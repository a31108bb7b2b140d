"""Schemas of tools, as the API takes them for a tool's input.

Beyond JSON Schema, the API has rules for the top level of such a schema: it describes an object, it has no unions, and
the names of its properties follow a pattern. For one such tool, the API refuses the entire request.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import cast

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.dialects.shared.output_schemas import check_depth, definitions, lookup, resolve_reference
from dragoman.dialects.shared.schema_repair import SchemaRepair

UNIONS = ("allOf", "anyOf", "oneOf")
"""Keywords that the API does not take at the top level of a tool's schema."""

MAX_PARTS = 10_000
"""Members of the unions at the top level of all tools of a request, with their properties, required names and own
members. Merging takes some 50 ms."""

MAX_UNION_DEPTH = 100
"""Unions inside of each other. Merging them recurses, and references make them deeper than the schema is."""

_PROPERTY_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_INVALID_IN_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_NAME = 64
_RULES: Mapping[str, str] = {"allOf": "all", "anyOf": "at least one", "oneOf": "exactly one"}
_MERGED_KEYS = frozenset({"$defs", "$schema", "definitions", "description", "properties", "required", "title", "type"})
"""Keywords of a member of `allOf` that the merged object keeps."""
_WORDS = _MERGED_KEYS - {"properties", "required", "type"}


@value_object
class ToolSchema:
    """The schema of a tool's input, as the API takes it.

    Attributes:
        schema: The schema.
        rules: Sentences for the model: what the unions said that the schema cannot say.
        names: The client's names of the properties that were renamed, by the names in the schema.
        changes: Sentences for the client: what was changed.
    """

    schema: JSONObject
    rules: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()


class PartCount:
    """The number of parts that were merged for the tools of one request."""

    def __init__(self) -> None:
        self._parts = 0

    def add(self, parts: int, param: str) -> None:
        """Count more parts.

        Raises:
            InvalidRequest: There are too many.
        """
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise _union_error(param, f"combines more than {MAX_PARTS:,} schemas and properties")


def tool_schema(sent: JSONObject | None, param: str, count: PartCount | None = None) -> ToolSchema:
    """Return a client's schema as the API takes it.

    Args:
        sent: The schema.
        param: The schema's field in the request.
        count: The parts that were merged for other tools of the request.

    Raises:
        InvalidRequest: The schema does not describe an object, is nested too deeply, or combines too many schemas.
    """
    check_depth(sent or {}, param)
    changes: list[str] = []
    repair = SchemaRepair()
    schema = repair.repair(sent or {})
    if repair.repairs:
        changes.append(repair.summary())
    root = resolve_reference(dict(schema))
    folded = _UnionFolder(root, param, count or PartCount()).fold(root)
    if not root.keys().isdisjoint(UNIONS):
        changes.append("Alternatives at the top level of the schema were merged into one object.")
    _require_object(folded, param)
    if not isinstance(folded.get("properties"), dict):
        folded["properties"] = {}
    properties = cast("JSONObject", folded["properties"])
    names = _new_names(properties)
    rules = _UnionRules(root, properties, names).sentences()
    if names:
        folded = _renamed(folded, names)
        listed = ", ".join(f"`{old[:80]}` as `{new}`" for old, new in list(names.items())[:3])
        changes.append(f"Claude takes property names of 1 to 64 letters, digits, `_`, `.` and `-`: {listed}.")
    return ToolSchema(folded, rules, {new: old for old, new in names.items()}, tuple(changes))


def _require_object(schema: JSONObject, param: str) -> None:
    """Make the schema one of an object.

    Raises:
        InvalidRequest: It describes something else.
    """
    kind = schema.get("type")
    if kind is None or (isinstance(kind, list) and "object" in kind):
        schema["type"] = "object"
    elif kind != "object":
        raise InvalidRequest(
            f"`{param}` must describe an object, not `{_json(kind)}`.", code="invalid_function_parameters", param=param
        )


class _UnionFolder:
    """Merges the members of unions at the top level into the object itself.

    Args:
        root: The entire schema, which references are looked up in.
        param: The schema's field in the request.
        count: Counts the merged parts.
    """

    def __init__(self, root: JSONObject, param: str, count: PartCount) -> None:
        self._root = root
        self._param = param
        self._count = count

    def fold(self, schema: JSONObject, seen: frozenset[str] = frozenset(), depth: int = 0) -> JSONObject:
        """Return a schema without unions at its top level.

        Args:
            schema: The schema.
            seen: The references that led to it: a schema that contains itself adds nothing.
            depth: The number of unions that it is inside of.

        Raises:
            InvalidRequest: The members have too many parts.
        """
        merged = dict(schema)
        for union in UNIONS:
            members = merged.pop(union, None)
            if isinstance(members, list):
                folded = [self._member(member, seen, depth) for member in _distinct(members)]
                _merge_union(merged, [member for member in folded if member is not None], union)
        return merged

    def _member(self, member: JSON, seen: frozenset[str], depth: int) -> JSONObject | None:
        if not isinstance(member, dict):
            return {} if member is True else None
        while isinstance(reference := member.get("$ref"), str):
            target = None if reference in seen else self._look_up(member, reference)
            seen |= {reference}
            member = {**{key: value for key, value in member.items() if key != "$ref"}, **(target or {})}
        if depth >= MAX_UNION_DEPTH:
            raise _union_error(self._param, f"nests more than {MAX_UNION_DEPTH} unions")
        folded = self.fold(member, seen, depth + 1)
        parts = (folded.get(key) for key in ("properties", "required"))
        self._count.add(1 + sum(len(part) for part in parts if isinstance(part, dict | list)), self._param)
        return folded

    def _look_up(self, member: JSONObject, reference: str) -> JSONObject | None:
        return lookup(member, reference) or lookup(self._root, reference)


def _union_error(param: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"`{param}` {problem} at its top level.", code="invalid_function_parameters", param=param)


def _merge_union(merged: JSONObject, members: Sequence[JSONObject], union: str) -> None:
    """Merge the members of a union into the object that has it.

    With alternatives, any of their properties is allowed, and only what all of them require is required. With `allOf`,
    everything holds.
    """
    members = [member for member in members if not _is_null(member)]
    if union != "allOf":
        members = [member for member in members if _may_be_object(member)] or members
    required = [_strings(member.get("required")) for member in members]
    properties: dict[str, list[JSON]] = {}
    for member in members:
        own = member.get("properties")
        for name, part in (own if isinstance(own, dict) else {}).items():
            properties.setdefault(name, []).append(part)
        for key in ("type", "description"):
            if key in member:
                merged.setdefault(key, member[key])
        for key, value in definitions(member).items():
            merged.setdefault(key, value)
    top_level = merged.get("properties")
    keyword = "allOf" if union == "allOf" else "anyOf"
    combined = {name: _combine(parts, keyword) for name, parts in properties.items()}
    merged["properties"] = {**combined, **(top_level if isinstance(top_level, dict) else {})}
    if union == "allOf":
        shared = [name for names in required for name in names]
    else:
        in_all = set(required[0]).intersection(*required) if required else set()
        shared = [name for name in (required[0] if required else []) if name in in_all]
    if names := list(dict.fromkeys([*_strings(merged.get("required")), *shared])):
        merged["required"] = cast("list[JSON]", names)


def _may_be_object(schema: JSONObject) -> bool:
    kind = schema.get("type", "object")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


class _UnionRules:
    """What the unions at the top level say that the merged object cannot say.

    Args:
        root: The schema with the unions.
        properties: The properties of the merged object.
        names: New names of properties, by the client's.
    """

    def __init__(self, root: JSONObject, properties: JSONObject, names: Mapping[str, str]) -> None:
        self._root = root
        self._properties = properties
        self._names = names

    def sentences(self) -> tuple[str, ...]:
        """Return a sentence for each union, unless the merged object says the same."""
        rules = []
        for union in UNIONS:
            members = self._root.get(union)
            if not isinstance(members, list) or (union == "allOf" and all(map(self._is_merged, members))):
                continue
            outlines = [self._outline(member) for member in members if not _is_null(member)]
            if len(outlines) > 1 or union == "allOf":
                rules.append(f"The input must match {_RULES[union]} of these JSON schemas: {_json(outlines)}")
        return tuple(rules)

    def _is_merged(self, member: JSON) -> bool:
        """Return whether the merged object says all that a member of `allOf` says."""
        return isinstance(member, dict) and self._resolved(member).keys() <= _MERGED_KEYS

    def _resolved(self, member: JSONObject) -> JSONObject:
        return resolve_reference({**definitions(self._root), **member})

    def _outline(self, member: JSON) -> JSON:
        """Return a member without what the merged object says: definitions, words, and properties they share."""
        if not isinstance(member, dict):
            return member
        outline: JSONObject = {}
        for key, value in member.items():
            if key == "properties" and isinstance(value, dict):
                outline[key] = {
                    self._names.get(name, name): True if part == self._properties.get(name) else part
                    for name, part in value.items()
                }
            elif key == "required" and isinstance(value, list):
                outline[key] = [self._names.get(str(name), name) for name in value]
            elif key in UNIONS and isinstance(value, list):
                outline[key] = [self._outline(part) for part in value]
            elif key not in _WORDS and (key, value) != ("type", "object"):
                outline[key] = value
        return outline


def _is_null(member: JSON) -> bool:
    return isinstance(member, dict) and member.get("type") == "null"


def _new_names(properties: JSONObject) -> dict[str, str]:
    """Return new names for the properties whose names the API refuses. They depend on the schema alone."""
    names: dict[str, str] = {}
    taken = set(properties)
    numbers: dict[str, int] = {}
    for name in properties:
        if _PROPERTY_NAME.fullmatch(name):
            continue
        plain = new = _INVALID_IN_NAME.sub("_", name)[:_MAX_NAME] or "_"
        number = numbers.get(plain, 2)
        while new in taken:
            suffix = f"_{number}"
            new = plain[: _MAX_NAME - len(suffix)] + suffix
            number += 1
        numbers[plain] = number
        taken.add(new)
        names[name] = new
    return names


def _renamed(schema: JSONObject, names: Mapping[str, str]) -> JSONObject:
    """Return a schema with new names of properties, wherever the top level names them."""
    renamed = dict(schema)
    for key in ("properties", "dependentRequired", "dependentSchemas", "dependencies"):
        if isinstance(value := schema.get(key), dict):
            renamed[key] = {names.get(name, name): part for name, part in value.items()}
    if isinstance(required := schema.get("required"), list):
        renamed["required"] = [names.get(str(name), name) for name in required]
    return renamed


def _combine(parts: list[JSON], keyword: str) -> JSON:
    """Return the schema of a property that several members describe."""
    different = _distinct(parts)
    return {keyword: different} if len(different) > 1 else different[0]


def _distinct(parts: list[JSON]) -> list[JSON]:
    """Return the parts without repeated ones, in order. References make many parts the same object."""
    by_identity = {id(part): part for part in parts}
    return list({_json(part): part for part in by_identity.values()}.values())


def _strings(value: JSON) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _json(value: JSON) -> str:
    return msgspec.json.encode(value).decode()
