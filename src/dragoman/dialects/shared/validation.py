"""Bytes to a typed request, with faults that name the field as a client writes it (`messages[0].content`).

Steps of reading a request that the OpenAI dialects share.

`metadata` of the OpenAI dialects: a client's own words about an answer that is kept.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import TypeVar, cast

import msgspec
import msgspec.inspect

from dragoman.core.catalog import Catalog, Resolved
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DialectOptions

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


def warn_unknown_fields(
    data: JSON, request: msgspec.Struct, options: DialectOptions, warnings: list[RequestWarning]
) -> None:
    """Say which fields nothing is known of, each name once.

    Raises:
        InvalidRequest: `unknown_parameter`, where the operator wants none.
    """
    said: set[str] = set()
    for path in unknown_fields(data, request):
        name = path.rpartition(".")[2]
        if options.strict_parameters:
            raise InvalidRequest(f"Unknown parameter: `{path}`.", code="unknown_parameter", param=path)
        if name not in said:
            warnings.append(RequestWarning("ignored", path, "The gateway does not know this field."))
        said.add(name)


def resolve_model(asked: str | None, catalog: Catalog, warnings: list[RequestWarning]) -> Resolved:
    """Find the model.

    Raises:
        NotFound: There is none of that name.
    """
    resolved = catalog.resolve(asked)
    if resolved.successor_of:
        detail = f"`{resolved.successor_of}` was retired; `{resolved.model.id}` answers in its place."
        warnings.append(RequestWarning("mapped", "model", detail))
    return resolved


def refuse_mapped_fields(options: DialectOptions, warnings: list[RequestWarning]) -> None:
    """Refuse approximations where the operator wants none. A retired model is mapped only where they said so.

    Raises:
        UnsupportedFeature: Names the first field that was mapped.
    """
    if not options.strict_mapping:
        return
    for warning in warnings:
        if warning.code == "mapped" and warning.param != "model":
            raise UnsupportedFeature(warning.detail, param=warning.param)


_MOST = 16
_LONGEST_KEY = 64
_LONGEST_VALUE = 512


def parse_metadata(metadata: JSON, param: str) -> Mapping[str, str]:
    """The labels in it.

    Args:
        metadata: What the client sent.
        param: The field it came in.

    Raises:
        InvalidRequest: They are more, longer or other than OpenAI takes them.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise InvalidRequest(f"`{param}` must be an object of strings.", code="invalid_type", param=param)
    if len(metadata) > _MOST:
        raise InvalidRequest(f"`{param}` may have {_MOST} keys at most.", param=param)
    return {key: _label(key, value, f"{param}.{key[:_LONGEST_KEY]}") for key, value in metadata.items()}


def _label(key: str, value: JSON, param: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{param}` must be a string.", code="invalid_type", param=param)
    if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
        raise InvalidRequest(
            f"`{param}`: a key may have {_LONGEST_KEY} characters and a value {_LONGEST_VALUE}.", param=param
        )
    return value
