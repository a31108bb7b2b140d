"""Checks of the fields that the gateway itself reads. What it only passes on is not checked."""

from collections.abc import Mapping
from typing import TypeVar, cast

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, BareText, Block, JSONObject, Message

_REQUIRED_TEXTS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
}
"""The strings that a block must have, by its type."""

_ROLES = frozenset({"user", "assistant", "system"})
_OBJECT_FIELDS = ("thinking", "output_config", "tool_choice", "metadata")
_CLIENT_TOOL_TYPES = frozenset({None, "custom"})

_T = TypeVar("_T")


def check_parameters(data: JSONObject) -> None:
    """Check the types of the parameters that the gateway reads.

    Raises:
        InvalidRequest: One has another type.
    """
    for name in _OBJECT_FIELDS:
        if data.get(name) is not None:
            require_object(data[name], name)
    limit = data.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise wrong_type("max_tokens", "an integer, 0 or more", limit)
    if data.get("tools") is not None:
        for index, value in enumerate(require_list(data, "tools", "")):
            path = f"tools[{index}]"
            tool = require_object(value, path)
            if tool.get("type") in _CLIENT_TOOL_TYPES:
                require_text(tool, "name", path)


def check_message(value: JSON, path: str) -> Message:
    """Check a message, and return it with its content as a list of blocks.

    Raises:
        InvalidRequest: It is not a message.
    """
    message = require_object(value, path)
    role = require_text(message, "role", path)
    if role not in _ROLES:
        raise InvalidRequest(
            f"`{path}.role` is `{role}`; it must be `user`, `assistant` or `system`.", param=f"{path}.role"
        )
    if "content" not in message:
        raise missing_field(f"{path}.content")
    return cast("Message", {**message, "content": check_content(message["content"], f"{path}.content")})


def check_content(value: JSON, path: str) -> list[Block]:
    """Check the content of a message or the system prompt, and return it as a list of blocks.

    Raises:
        InvalidRequest: It is neither a string nor a list of blocks.
    """
    if isinstance(value, str):
        return BareText(value)
    if not isinstance(value, list):
        raise wrong_type(path, "a string or a list of blocks", value)
    for index, block in enumerate(value):
        check_block(block, f"{path}[{index}]")
    return cast("list[Block]", value)


def is_unsigned(block: Block) -> bool:
    """Return whether a block is thinking with an empty signature. It reports what an agent did; it is not Claude's."""
    return block.get("type") == "thinking" and block.get("signature") == ""


def has_unsigned_thinking(message: Message) -> bool:
    """Return whether a message has thinking with an empty signature."""
    return any(map(is_unsigned, message["content"]))


def check_block(value: JSON, path: str) -> None:
    """Check one content block.

    Raises:
        InvalidRequest: It is not a block, or lacks a field of its type.
    """
    block = require_object(value, path)
    kind = require_text(block, "type", path)
    for name in _REQUIRED_TEXTS.get(kind, ()):
        require_text(block, name, path)
    if kind == "tool_result" and isinstance(content := block.get("content"), list):
        for index, part in enumerate(content):
            check_block(part, f"{path}.content[{index}]")
    elif kind == "tool_result" and not isinstance(content, str | None):
        raise wrong_type(f"{path}.content", "a string or a list of blocks", content)


def require_object(value: JSON, path: str) -> JSONObject:
    """Return a value that must be an object."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return value


def require_text(parent: JSONObject, name: str, path: str) -> str:
    """Return a field that must be a string."""
    return _require(parent, name, path, str, "a string")


def require_list(parent: JSONObject, name: str, path: str) -> list[JSON]:
    """Return a field that must be a list."""
    return _require(parent, name, path, list, "a list")


def wrong_type(path: str, expected: str, value: JSON) -> InvalidRequest:
    """Return the error for a value of another type. The caller raises it."""
    subject = f"`{path}`" if path else "The request body"
    return InvalidRequest(
        f"{subject} must be {expected}, not {_type_name(value)}.", code="invalid_type", param=path or None
    )


def missing_field(path: str) -> InvalidRequest:
    """Return the error for a missing field. The caller raises it."""
    return InvalidRequest(f"Missing required parameter: `{path}`.", code="missing_required_parameter", param=path)


def _require(parent: JSONObject, name: str, path: str, expected: type[_T], description: str) -> _T:
    value = parent.get(name)
    if not isinstance(value, expected):
        full_path = f"{path}.{name}" if path else name
        raise missing_field(full_path) if value is None else wrong_type(full_path, description, value)
    return value


def _type_name(value: JSON) -> str:
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
