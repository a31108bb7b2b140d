"""The shapes that the gateway itself relies on. What it only passes on is not looked at."""

from collections.abc import Mapping
from typing import TypeVar

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
}
"""By the type of a block: the texts that it must hold."""

_Kind = TypeVar("_Kind")

_OBJECTS = ("thinking", "output_config", "tool_choice", "metadata")
_OWN_TOOLS = frozenset({None, "custom"})


def check_parameters(data: JSONObject) -> None:
    """Check the parameters that are read on the way.

    Raises:
        InvalidRequest: One is of another shape.
    """
    for name in _OBJECTS:
        if data.get(name) is not None:
            object_of(data[name], name)
    limit = data.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise wrong("max_tokens", "an integer, 0 or more", limit)
    if data.get("tools") is not None:
        for place, tool in enumerate(list_at(data, "tools", "")):
            path = f"tools[{place}]"
            if object_of(tool, path).get("type") in _OWN_TOOLS:
                text_of(object_of(tool, path), "name", path)


def check_block(value: JSON, path: str) -> None:
    """Check one content block.

    Raises:
        InvalidRequest: It is no block, or lacks what its type must hold.
    """
    block = object_of(value, path)
    kind = text_of(block, "type", path)
    for name in _NEEDED.get(kind, ()):
        text_of(block, name, path)
    if kind == "tool_result" and isinstance(content := block.get("content"), list):
        for place, part in enumerate(content):
            check_block(part, f"{path}.content[{place}]")
    elif kind == "tool_result" and not isinstance(content, str | None):
        raise wrong(f"{path}.content", "a string or a list of blocks", content)


def object_of(value: JSON, path: str) -> JSONObject:
    """A value that is an object."""
    if not isinstance(value, dict):
        raise wrong(path, "an object", value)
    return value


def text_of(holder: JSONObject, name: str, path: str) -> str:
    """A string that must be there."""
    return _of(holder, name, path, str, "a string")


def list_at(holder: JSONObject, name: str, path: str) -> list[JSON]:
    """A list that must be there."""
    return _of(holder, name, path, list, "a list")


def wrong(path: str, wanted: str, value: JSON) -> InvalidRequest:
    """What stands there is of another kind; the caller raises it."""
    where = f"`{path}`" if path else "The request body"
    return InvalidRequest(f"{where} must be {wanted}, not {_kind_of(value)}.", code="invalid_type", param=path or None)


def missing(path: str) -> InvalidRequest:
    """Nothing stands there; the caller raises it."""
    return InvalidRequest(f"Missing required parameter: `{path}`.", code="missing_required_parameter", param=path)


def _of(holder: JSONObject, name: str, path: str, kind: type[_Kind], wanted: str) -> _Kind:
    full = f"{path}.{name}" if path else name
    if holder.get(name) is None:
        raise missing(full)
    value = holder[name]
    if not isinstance(value, kind):
        raise wrong(full, wanted, value)
    return value


def _kind_of(value: JSON) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
