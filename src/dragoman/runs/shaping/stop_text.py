"""Find the text at which a response ends. The API takes no stop sequences of white space alone."""

from collections.abc import Sequence


class StopText:
    """Returns the text of a response piece by piece, up to the first of some texts.

    Args:
        stops: The texts, none of them empty.

    Attributes:
        found: The text that ended the response; None before.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.found: str | None = None
        self._stops = stops
        self._held = ""

    def add(self, text: str) -> str:
        """Return what comes before any of the texts, and was not returned before."""
        text, self._held = self._held + text, ""
        hits = [(position, stop) for stop in self._stops if (position := text.find(stop)) >= 0]
        if hits:
            position, self.found = min(hits)
            return text[:position]
        held = max(_overlap(text, stop) for stop in self._stops)
        text, self._held = text[: len(text) - held], text[len(text) - held :]
        return text

    def finish(self) -> str:
        """Return what was held back, at the end of a text block."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text may begin a stop text."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
