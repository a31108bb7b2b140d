"""The four forms of `input`, made one."""

from typing import cast

from dragoman.errors import InvalidRequest
from dragoman.messages import JSON

MOST_INPUTS = 2048
"""OpenAI's own limit."""


def read_inputs(given: str | list[JSON]) -> tuple[str | list[int], ...]:
    """The inputs, in order.

    Raises:
        InvalidRequest: There are none or too many, one is empty, or one is neither text nor a list of tokens.
    """
    if isinstance(given, str):
        return (_text(given, "input"),)
    if not given:
        raise InvalidRequest("`input` is empty.", param="input")
    if all(_is_token(item) for item in given):
        return (cast("list[int]", given),)
    if len(given) > MOST_INPUTS:
        raise InvalidRequest(f"`input` has {len(given)} items; {MOST_INPUTS} are the most.", param="input")
    return tuple(_one(item, f"input[{place}]") for place, item in enumerate(given))


def _one(item: JSON, param: str) -> str | list[int]:
    if isinstance(item, str):
        return _text(item, param)
    if isinstance(item, list) and all(_is_token(part) for part in item):
        if not item:
            raise InvalidRequest(f"`{param}` is empty.", param=param)
        return cast("list[int]", item)
    raise InvalidRequest(f"`{param}` is neither text nor a list of token ids.", code="invalid_type", param=param)


def _text(text: str, param: str) -> str:
    if not text:
        raise InvalidRequest(f"`{param}` is an empty string.", param=param)
    return text


def _is_token(value: JSON) -> bool:
    """A non-negative whole number; JSON's true and false are numbers to Python."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32
