"""Decode upstream JSON that may contain half of a character, as a response cut inside an emoji does."""

from collections.abc import Callable
from typing import TypeVar

from dragoman.core.json_text import replace_half_characters

_T = TypeVar("_T")


def decode_repaired(decode: Callable[[bytes], _T], data: bytes) -> _T:
    """Decode JSON that was refused, with each half of a character replaced by U+FFFD.

    The caller tries to decode it first, without a further call: a stream has thousands of frames.

    Args:
        decode: A decoder of msgspec.
        data: The JSON.

    Raises:
        msgspec.DecodeError: It is not JSON.
        UnicodeDecodeError: It is not UTF-8.
    """
    return decode(replace_half_characters(data))
