"""Decode requests that have only known fields in one step: from bytes to typed requests, without a second look.

A request is first decoded by a type that allows no unknown fields. Most requests fit it. For the others, None
is returned: the caller then takes the longer way, which names each unknown field, and each error.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from dragoman.core.long_steps import let_others_run

_T = TypeVar("_T")
_StructT = TypeVar("_StructT", bound=msgspec.Struct)

MAX_JSON_DEPTH = 850
"""Levels of a request body. The decoder accepts some more, which an encoder deeper in the stack would not."""
MIN_DEEP_BYTES = 2 * MAX_JSON_DEPTH
"""Shorter JSON cannot be nested so deeply."""


class ExactDecoder(Generic[_T]):
    """Decodes JSON that has only known fields.

    Args:
        type_: A struct, or a union of structs. Its exact form is made at the first use: that takes some time.
    """

    def __init__(self, type_: Any) -> None:  # a type, in any of the forms in which types are written
        self._type = type_

    def decode(self, raw: bytes) -> _T | None:
        """Decode JSON. Return None if it does not fit exactly."""
        try:
            return self._decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        finally:
            let_others_run(len(raw))

    @cached_property
    def _decode(self) -> Callable[[bytes], _T]:
        decoder: msgspec.json.Decoder[_T] = msgspec.json.Decoder(_exact(self._type))
        return decoder.decode


def convert_exact(data: object, struct: type[_StructT]) -> _StructT | None:
    """Convert parsed JSON to a typed request. Return None if it does not fit exactly."""
    with suppress(msgspec.ValidationError):
        return cast("_StructT", msgspec.convert(data, _exact_struct(struct)))
    return None


def is_too_deep(raw: bytes, data: Any = None, levels: int = MAX_JSON_DEPTH) -> bool:  # JSON
    """Return whether JSON has too many levels.

    Args:
        raw: The JSON.
        data: The same, parsed; None: it is parsed if that is needed. Most JSON has too few brackets to be so deep.
        levels: The maximum; for a part of a request body, fewer.
    """
    if len(raw) < 2 * levels:
        return False
    brackets = raw.count(b"[") + raw.count(b"{")
    let_others_run(len(raw))
    if brackets <= levels:
        return False
    level = [msgspec.json.decode(raw) if data is None else data]
    for _ in range(levels):
        values = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        )
        level = [inner for value in values for inner in value if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


@cache
def _exact_struct(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a subclass that forbids unknown fields, in itself and in all structs that it contains."""
    hints = get_type_hints(struct, include_extras=True)
    config = struct.__struct_config__
    return msgspec.defstruct(
        struct.__name__,
        [(field.name, _exact(hints[field.name]), *_default(field)) for field in msgspec.structs.fields(struct)],
        bases=(struct,),
        module=struct.__module__,
        forbid_unknown_fields=True,
        kw_only=True,
        tag_field=config.tag_field,
        tag=config.tag,
    )


def _default(field: msgspec.structs.FieldInfo) -> tuple[Any, ...]:
    return () if field.required else (field.default,)


def _exact(hint: Any) -> Any:  # a type, in any of the forms in which types are written
    """Return the type of a field with each struct in it replaced by its exact form."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _exact_struct(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_exact(arguments[0]), *hint.__metadata__)]
    if origin in (Union, UnionType):
        return reduce(or_, map(_exact, arguments))
    return list[_exact(arguments[0])] if origin is list else hint  # type: ignore[misc] # made at run time
