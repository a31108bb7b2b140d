"""Bytes to a typed request, with faults that name the field as a client writes it (`messages[0].content`)."""

import re
from functools import cache
from typing import TypeVar, cast

import msgspec
import msgspec.inspect

from dragoman.errors import InvalidRequest
from dragoman.messages import JSON, JSONObject

T = TypeVar("T", bound=msgspec.Struct)

_PATH = re.compile(r" - at `(?:key` in `)?\$\.?(?P<path>.*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_UNEXPECTED = re.compile(r"Expected `[^`]+`, got `")
_MOST_DIGITS = 18  # any such number fits into 64 bits
_JSON_WORDS = (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "boolean"))


def parse(raw: bytes) -> JSON:
    """The body as plain data.

    Raises:
        InvalidRequest: `invalid_json`.
    """
    try:
        return cast("JSON", msgspec.json.decode(raw))
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.", code="invalid_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None


def whole_number(text: str) -> int | None:
    """The number that a text of digits is; None for any other text, and for more digits than any number here has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def typed(data: JSON, into: type[T]) -> T:
    """Plain data as a typed request.

    Raises:
        InvalidRequest: `missing_required_parameter`, `invalid_type` or `invalid_value`, with the field in `param`.
    """
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


def unknown_fields(data: JSON, known: msgspec.Struct) -> list[str]:
    """The paths of fields, at any depth, that the typed request has no place for. A null is nothing lost.

    Args:
        data: The plain data.
        known: What `typed` made of it.
    """
    found: list[str] = []
    _look(cast("JSONObject", data), known, "", found)
    return found


def _look(data: JSONObject, known: msgspec.Struct, prefix: str, found: list[str]) -> None:
    fields, parents = _fields(type(known))
    for name, value in data.items():
        if name in parents:
            if type(value) is dict or type(value) is list:
                _look_into(value, getattr(known, name), prefix + name, found)
        elif name not in fields and value is not None:
            found.append(prefix + name)


def _look_into(data: JSONObject | list[JSON], known: object, path: str, found: list[str]) -> None:
    if isinstance(known, msgspec.Struct):
        _look(cast("JSONObject", data), known, f"{path}.", found)
    elif isinstance(known, list):
        for index, (part, item) in enumerate(zip(data, known, strict=True)):
            if isinstance(item, msgspec.Struct):
                _look(cast("JSONObject", part), item, f"{path}[{index}].", found)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[frozenset[str | None], frozenset[str]]:
    """The names of all fields, and of those that may hold fields themselves."""
    told = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
    parents = frozenset(field.name for field in told.fields if _holds_fields(field.type))
    return frozenset((*kind.__struct_fields__, kind.__struct_config__.tag_field)), parents


def _holds_fields(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.StructType():
            return True
        case msgspec.inspect.ListType(item_type=item):
            return _holds_fields(item)
        case msgspec.inspect.UnionType(types=kinds):
            return any(map(_holds_fields, kinds))
        case msgspec.inspect.Metadata(type=inner):
            return _holds_fields(inner)
        case _:
            return False


def _named(said: str) -> InvalidRequest:
    place = _PATH.search(said)
    path = place["path"] if place else ""
    fault = said[: place.start()] if place else said
    if missing := _MISSING.match(fault):
        param = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)
    code = "invalid_type" if _UNEXPECTED.match(fault) else "invalid_value"
    where = f"`{path}`" if path else "request body"
    return InvalidRequest(f"Invalid {where}: {_in_json_words(fault)}.", code=code, param=path or None)


def _in_json_words(fault: str) -> str:
    for ours, theirs in _JSON_WORDS:
        fault = re.sub(rf"(?<![\w']){ours}(?![\w'])", theirs, fault)
    return fault[:1].lower() + fault[1:]
