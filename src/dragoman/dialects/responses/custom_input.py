"""The free text of a custom tool call: Claude writes it as the only argument of a function, in JSON."""

import json
import re

from dragoman.core.messages import Block, JSONObject

TEXT_ARGUMENT = "input"
_OPENING = re.compile(rf'\s*\{{\s*"{TEXT_ARGUMENT}"\s*:\s*"')
_MAX_OPENING_LENGTH = 64
"""Characters in which the text must have begun. White space is the only thing that can be longer."""
_COMPLETE = re.compile(r'(?:[^"\\]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+')
"""The part of a JSON string that can be decoded: up to its end, or to an escape that is cut."""
_HALF_CHARACTER = re.compile(r"(?<!\\)(?:\\\\)*(\\u[dD][89abAB][0-9a-fA-F]{2})\Z")
"""The first of the two escapes that some characters are written with."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def custom_tool_arguments(text: str) -> JSONObject:
    """Return the arguments of the function that represents a custom tool."""
    return {TEXT_ARGUMENT: text}


def custom_tool_text(block: Block) -> str:
    """Return the text of a call. Arguments that do not fit the function become JSON text; a cut call may have less."""
    arguments = block.get("input")
    if isinstance(arguments, str):
        return TextDecoder().add(arguments)
    if not isinstance(arguments, dict) or not arguments:
        return ""
    text = arguments.get(TEXT_ARGUMENT)
    return text if isinstance(text, str) else json.dumps(arguments, ensure_ascii=False)


class TextDecoder:
    """Decodes the text of a custom tool call while its JSON arrives.

    Attributes:
        found: Whether the JSON begins as the function's arguments do. Otherwise, there is no text.
    """

    def __init__(self) -> None:
        self.found = False
        self._pending = ""
        self._ended = False

    def add(self, json_text: str) -> str:
        """Take a piece of the JSON, and return the text that is certain now."""
        if self._ended:
            return ""
        self._pending += json_text
        if not self.found:
            opening = _OPENING.match(self._pending)
            if opening is None:
                self._ended = len(self._pending) > _MAX_OPENING_LENGTH
                return ""
            self.found = True
            self._pending = self._pending[opening.end() :]
        return self._decode()

    def _decode(self) -> str:
        """Decode as much as is complete. An escape that is cut waits for the next piece."""
        complete = _COMPLETE.match(self._pending)
        end = complete.end() if complete else 0
        self._ended = self._pending[end : end + 1] == '"'
        if not self._ended and (half := _HALF_CHARACTER.search(self._pending, 0, end)):
            end = half.start(1)
        text = str(json.loads(f'"{self._pending[:end]}"', strict=False))
        self._pending = self._pending[end:]
        return _LONE_SURROGATE.sub(_REPLACEMENT, text)
