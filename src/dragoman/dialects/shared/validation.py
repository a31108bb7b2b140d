"""Validate request bodies: JSON to typed requests, with errors that name the field (`messages[0].content`).

Also the steps that all OpenAI dialects share: unknown fields, the model's name, `metadata`.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import TypeVar, cast

import msgspec
import msgspec.inspect

from dragoman.core.catalog import LONG_CONTEXT_SUFFIX, LONG_CONTEXT_TOKENS, Catalog, Resolved
from dragoman.core.errors import MAX_ECHO, InvalidRequest, UnsupportedFeature
from dragoman.core.json_text import BYTE_ORDER_MARK, replace_half_characters
from dragoman.core.long_steps import let_others_run
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.shared.exact import convert_exact, is_too_deep

MAX_METADATA_KEYS = 16
MAX_METADATA_KEY_LENGTH = 64
MAX_METADATA_VALUE_LENGTH = 512

_StructT = TypeVar("_StructT", bound=msgspec.Struct)
_T = TypeVar("_T")

MAX_JSON_VALUES = 250_000
"""Values of a large request body. Decoding them takes less than 100 ms, in which nothing else can run."""

MIN_COUNTED_BYTES = 2 * MAX_JSON_VALUES
"""A smaller body cannot have too many values: a value takes two bytes at least."""

_BEFORE_VALUES = (b",", b"[", b"{")

_MAX_DIGITS = 18  # any such number fits into 64 bits

# The texts of msgspec's errors.
_ERROR_PATH = re.compile(r" - at `(?:key` in `)?\$\.?(?P<path>.*)`$")
_MISSING_FIELD = re.compile(r"Object missing required field `(?P<field>[^`]+)`")
_WRONG_TYPE = re.compile(r"Expected `[^`]+`, got `")
_LONG_VALUE = re.compile(rf"'(.{{{MAX_ECHO}}}).+'$", re.DOTALL)
_JSON_TYPE_NAMES = (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "boolean"))


def parse_json(raw: bytes, warnings: list[RequestWarning] | None = None) -> JSON:
    """Parse a request body. A byte order mark is skipped, and half of a character becomes U+FFFD.

    Args:
        raw: The body.
        warnings: Receives a warning if characters were replaced.

    Raises:
        InvalidRequest: `invalid_json`: the body is not JSON, or is nested too deeply.
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        return _parse(raw)
    except InvalidRequest:
        repaired = replace_half_characters(raw)
        if repaired == raw:
            raise
        data = _parse(repaired)
    if warnings is not None:
        detail = "The request contains half of a character (a lone surrogate); Claude gets U+FFFD in its place."
        warnings.append(RequestWarning("replaced", "body", detail))
    return data


def _parse(raw: bytes) -> JSON:
    try:
        data = cast("JSON", msgspec.json.decode(raw))
    except RecursionError:
        raise _depth_error() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.", code="invalid_json") from None
    finally:
        let_others_run(len(raw))
    if is_too_deep(raw, data):
        raise _depth_error()
    return data


def check_value_count(raw: bytes, limit: int = MAX_JSON_VALUES, part_size: int = 2**20) -> None:
    """Refuse a large request body of very many small values, which would need many times its size in memory.

    Args:
        raw: The body.
        limit: The number of values.
        part_size: Bytes that are counted at once: other threads get a turn after each part.

    Raises:
        InvalidRequest: It has more than `limit` values.
    """
    # This counts what strings contain, too. It is fast, and few bodies need the exact count.
    if sum(map(raw.count, _BEFORE_VALUES)) < limit:
        return
    count, in_string, held = 0, 0, b""
    for start in range(0, len(raw), part_size):
        part = held + raw[start : start + part_size]
        held = b"\\" if (len(part) - len(part.rstrip(b"\\"))) % 2 else b""
        pieces = part.removesuffix(held).replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[in_string::2])
        count += sum(map(outside.count, _BEFORE_VALUES))
        in_string ^= (len(pieces) - 1) % 2
        if count >= limit:
            raise InvalidRequest(
                f"The request body has more than {limit:,} JSON values. Send fewer messages, tools or schemas.",
                code="invalid_json",
            )


def with_model(raw: bytes, model: str) -> bytes:
    """Return a request body with another `model`. All else stays as it is, and so does what is not an object."""
    fields = peek(raw, dict[str, msgspec.Raw])
    return raw if fields is None else msgspec.json.encode({**fields, "model": model})


def peek(raw: bytes, type_: type[_T]) -> _T | None:
    """Return some fields of a request body before it is decoded; None if it cannot be read, which decoding reports."""
    text = raw.removeprefix(BYTE_ORDER_MARK)
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(text, type=type_)
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(replace_half_characters(text), type=type_)
    return None


def convert(data: JSON, struct: type[_StructT]) -> _StructT:
    """Convert parsed JSON to a typed request.

    Raises:
        InvalidRequest: `missing_required_parameter`, `invalid_type` or `invalid_value`, with the field in `param`.
    """
    try:
        return msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        raise _validation_error(str(error)) from None


def convert_known(
    data: JSON, struct: type[_StructT], options: DialectOptions, warnings: list[RequestWarning]
) -> _StructT:
    """Convert parsed JSON to a typed request, and warn of unknown fields.

    Raises:
        InvalidRequest: As `convert` and `warn_unknown_fields` do.
    """
    if (exact := convert_exact(data, struct)) is not None:
        return exact
    request = convert(data, struct)
    warn_unknown_fields(data, request, options, warnings)
    return request


def unknown_fields(data: JSONObject, known: msgspec.Struct, prefix: str = "") -> list[str]:
    """Return the paths of all fields, at any depth, that the typed request does not have. Nulls do not count.

    Args:
        data: The parsed JSON.
        known: The typed request that `convert` made of it.
        prefix: The path of `data` in the request.
    """
    found: list[str] = []
    fields, parents = _fields(type(known))
    for name, value in data.items():
        if name not in fields:
            if value is not None:
                found.append(prefix + name)
        elif name in parents:
            inner = getattr(known, name)
            if isinstance(inner, msgspec.Struct):
                found += unknown_fields(cast("JSONObject", value), inner, f"{prefix}{name}.")
            elif isinstance(inner, list):
                for index, item in enumerate(inner):
                    if isinstance(item, msgspec.Struct):
                        part = cast("JSONObject", cast("list[JSON]", value)[index])
                        found += unknown_fields(part, item, f"{prefix}{name}[{index}].")
    return found


def warn_unknown_fields(
    data: JSON, request: msgspec.Struct, options: DialectOptions, warnings: list[RequestWarning]
) -> None:
    """Warn of each unknown field, once per name.

    Raises:
        InvalidRequest: `unknown_parameter`, with `strict_parameters`.
    """
    names: set[str] = set()
    for path in unknown_fields(cast("JSONObject", data), request):
        if options.strict_parameters:
            raise InvalidRequest(f"Unknown parameter: `{path}`.", code="unknown_parameter", param=path)
        name = path.rpartition(".")[2]
        if name not in names:
            warnings.append(RequestWarning("ignored", path, "The gateway does not know this field."))
        names.add(name)


class IgnoredFields:
    """The fields of a dialect's requests without an equivalent.

    Args:
        neutral_values: For each such field, the values that have no effect anyway. They need no warning.

    Attributes:
        neutral_values: See the argument.
    """

    def __init__(self, neutral_values: Mapping[str, tuple[JSON, ...]]) -> None:
        self.neutral_values = neutral_values
        self._values_of = attrgetter(*neutral_values)

    def warnings(self, request: msgspec.Struct) -> list[RequestWarning]:
        """Return a warning for each field that a request has set to anything else."""
        values = self._values_of(request)
        if values.count(None) == len(values):
            return []  # most requests have none
        return [
            RequestWarning("ignored", name, f"Claude has no equivalent of `{name}`.")
            for (name, neutral), value in zip(self.neutral_values.items(), values, strict=True)
            if value is not None and value not in neutral
        ]


def resolve_model(name: str | None, catalog: Catalog, warnings: list[RequestWarning]) -> Resolved:
    """Find the model with a name; warn if a retired model was replaced, or if its window is not as long as asked.

    Raises:
        NotFound: No model has that name.
    """
    resolved = catalog.resolve(name)
    if resolved.successor_of:
        detail = f"`{resolved.successor_of}` is retired; `{resolved.model.id}` responds instead."
        warnings.append(RequestWarning("mapped", "model", detail))
    model = resolved.model
    if resolved.requested_name.endswith(LONG_CONTEXT_SUFFIX) and model.context_tokens < LONG_CONTEXT_TOKENS:
        detail = f"The context window of `{model.id}` is {model.context_tokens} tokens here."
        warnings.append(RequestWarning("ignored", "model", detail))
    return resolved


def refuse_mapped_fields(warnings: list[RequestWarning]) -> None:
    """Refuse the request if a field was mapped. A retired model is allowed: it has a setting of its own.

    Raises:
        UnsupportedFeature: Names the first field that was mapped.
    """
    for warning in warnings:
        if warning.code == "mapped" and warning.param != "model":
            raise UnsupportedFeature(warning.detail, param=warning.param)


def parse_metadata(metadata: JSON, param: str) -> Mapping[str, str]:
    """Return the client's metadata of a stored response.

    Args:
        metadata: The value in the request.
        param: The name of its field.

    Raises:
        InvalidRequest: It breaks OpenAI's limits, or is not an object of strings.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise InvalidRequest(f"`{param}` must be an object of strings.", code="invalid_type", param=param)
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidRequest(f"`{param}` may have at most {MAX_METADATA_KEYS} keys.", param=param)
    checked: dict[str, str] = {}
    for key, value in metadata.items():
        path = f"{param}.{key[:MAX_METADATA_KEY_LENGTH]}"
        if not isinstance(value, str):
            raise InvalidRequest(f"`{path}` must be a string.", code="invalid_type", param=path)
        if len(key) > MAX_METADATA_KEY_LENGTH or len(value) > MAX_METADATA_VALUE_LENGTH:
            raise InvalidRequest(
                f"`{path}` is too long. A key may have {MAX_METADATA_KEY_LENGTH} characters, a value "
                f"{MAX_METADATA_VALUE_LENGTH}.",
                param=path,
            )
        checked[key] = value
    return checked


def parse_digits(text: str) -> int | None:
    """Return the number in a text of digits; None for any other text, or for too many digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else None


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[frozenset[str | None], frozenset[str]]:
    """Return the names of all fields, and of those that may have fields of their own."""
    info = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(struct))
    parents = frozenset(field.name for field in info.fields if _may_have_fields(field.type))
    return frozenset((*struct.__struct_fields__, struct.__struct_config__.tag_field)), parents


def _may_have_fields(field_type: msgspec.inspect.Type) -> bool:
    match field_type:
        case msgspec.inspect.StructType():
            return True
        case msgspec.inspect.ListType(item_type=item):
            return _may_have_fields(item)
        case msgspec.inspect.UnionType(types=members):
            return any(map(_may_have_fields, members))
        case msgspec.inspect.Metadata(type=inner):
            return _may_have_fields(inner)
        case _:
            return False


def _validation_error(text: str) -> InvalidRequest:
    """Return the error for a text of msgspec."""
    location = _ERROR_PATH.search(text)
    path = location["path"] if location else ""
    problem = _LONG_VALUE.sub(r"'\1…'", text[: location.start()] if location else text)
    if missing := _MISSING_FIELD.match(problem):
        param = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)
    code = "invalid_type" if _WRONG_TYPE.match(problem) else "invalid_value"
    for python_name, json_name in _JSON_TYPE_NAMES:
        problem = re.sub(rf"(?<![\w']){python_name}(?![\w'])", json_name, problem)
    subject = f"`{path}`" if path else "request body"
    problem = problem[:1].lower() + problem[1:]
    return InvalidRequest(f"Invalid {subject}: {problem}.", code=code, param=path or None)


def _depth_error() -> InvalidRequest:
    return InvalidRequest("The request body is nested too deeply.", code="invalid_json")
