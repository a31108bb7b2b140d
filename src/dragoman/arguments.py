"""The arguments of a tool call, as a model writes them: JSON, if nothing went wrong."""

import json
import re
from typing import cast

from dragoman.messages import JSON

_HALF = re.compile("[\ud800-\udfff]")
"""Half a character outside the basic plane. As an escape it is JSON, but there are no bytes for it."""
_LOST = "\N{REPLACEMENT CHARACTER}"


def parsed(text: str) -> JSON:
    """What a text says; where it is no JSON, as in an answer that was cut, the text itself.

    Args:
        text: The arguments.
    """
    try:
        value = cast("JSON", json.loads(text))
    except (ValueError, RecursionError):
        return text
    return _whole(value) if r"\ud" in text or r"\uD" in text else value


def _whole(value: JSON) -> JSON:
    """The value without halves of characters, which nobody could send on."""
    match value:
        case str():
            return _HALF.sub(_LOST, value)
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {_HALF.sub(_LOST, key): _whole(item) for key, item in value.items()}
        case _:
            return value
