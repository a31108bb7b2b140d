"""Whether the `embeddings` extra is here, and helpers for vectors."""

import struct
from collections.abc import Sequence

import pytest

from dragoman.backends.embeddings.library import DEFAULT_MODEL, installed, locate_model

wants_model = pytest.mark.skipif(
    not installed() or not locate_model(DEFAULT_MODEL).offline,
    reason="the `embeddings` extra is not installed: `make test` installs it",
)


def numbers(vector: bytes) -> Sequence[float]:
    """A vector's numbers."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def likeness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))
