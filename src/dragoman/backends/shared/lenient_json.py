"""Decode upstream JSON that may contain half of a character, as a response cut inside an emoji does."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from dragoman.core.json_text import replace_half_characters

_T = TypeVar("_T")


def decode_lenient(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """Decode JSON. If it is refused, decode it with each half of a character replaced by U+FFFD.

    Args:
        decode: A decoder of msgspec.
        data: The JSON.

    Raises:
        msgspec.DecodeError: It is not JSON.
        UnicodeDecodeError: It is not UTF-8.
    """
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        repaired = replace_half_characters(data)
        if repaired == data:
            raise
    return decode(repaired)
