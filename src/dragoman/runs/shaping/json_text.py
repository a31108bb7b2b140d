"""Take JSON out of a code fence, while it is written.

Models put JSON into a fence, also when the instructions forbid it.
"""

import re
from collections.abc import Callable

_FENCE = re.compile(r"(?:^|(?<=\n))[ \t]*```[\w+-]*\s*(?=[{\[])")
"""What opens a fence, up to the first character of the JSON."""

_MAYBE_FENCE = re.compile(r"\s*(?:`{0,2}|```[\w+-]*\s*)")
"""A text that may become a fence."""

_STRUCTURE = re.compile(r'["\\{}\[\]]')


class JsonText:
    """Returns the text of a response piece by piece, without a code fence around JSON.

    Any other text is returned as it is, if only later.

    Args:
        is_object: Whether the text must be a JSON object. Words around a fence are then removed as well: with them, the
            text could not be one.

    Attributes:
        removed_words: Whether words were removed.
    """

    def __init__(self, *, is_object: bool) -> None:
        self.removed_words = False
        self._is_object = is_object
        self._held = ""
        self._end = _JsonEnd()
        self._add: Callable[[str], str] = self._before

    def add(self, text: str) -> str:
        """Return what is known to belong to the response, and was not returned before."""
        return self._add(text)

    def finish(self) -> str:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        if self._add != self._after:
            return held
        words = held.strip().removeprefix("```").strip()
        if words and not self._is_object:
            return held
        self.removed_words = self.removed_words or bool(words)
        return ""

    def _before(self, text: str) -> str:
        """Hold the text until it is known whether a fence comes first."""
        self._held += text
        if fence := _FENCE.search(self._held):
            words = self._held[: fence.start()].strip()
            if not words or self._is_object:
                self.removed_words = bool(words)
                json_text, self._held = self._held[fence.end() :], ""
                self._add = self._inside
                return self._inside(json_text)
        if _MAYBE_FENCE.fullmatch(self._held) or (self._is_object and self._held.lstrip()[0] not in "{["):
            return ""
        self._add = _unchanged
        held, self._held = self._held, ""
        return held

    def _inside(self, text: str) -> str:
        """Return the text up to the end of the JSON."""
        end = self._end.find(text)
        if end is None:
            return text
        self._add = self._after
        self._held = text[end:]
        return text[:end]

    def _after(self, text: str) -> str:
        """Hold what follows the JSON: the end of the fence."""
        self._held += text
        return ""


class _JsonEnd:
    """Finds the end of a JSON object or array in pieces of text that begin with it."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped_at = -1  # the position of an escaped character in the next piece

    def find(self, text: str) -> int | None:
        """Return the position after the end; None if the end is not in this piece."""
        escaped_at, self._escaped_at = self._escaped_at, -1
        for match in _STRUCTURE.finditer(text):
            position, sign = match.start(), match[0]
            if position == escaped_at:
                continue
            if sign == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                escaped_at = position + 1 if sign == "\\" else escaped_at
            elif sign != "\\":
                self._depth += 1 if sign in "{[" else -1
                if not self._depth:
                    return position + 1
        if escaped_at >= len(text):
            self._escaped_at = escaped_at - len(text)
        return None


def _unchanged(text: str) -> str:
    return text
