"""The log of what a test runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from dragoman.core.log import Fields, redirected


@contextmanager
def log_lines() -> Iterator[list[Fields]]:
    """Collect all events, with their level in the field `level`."""
    lines: list[Fields] = []

    def write(level: str, fields: Fields) -> None:
        lines.append({"level": level, **fields})

    with redirected(write):
        yield lines
