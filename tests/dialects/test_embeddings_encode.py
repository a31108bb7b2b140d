"""Encoding of vectors."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_spec import assert_valid

from dragoman.core.errors import InvalidRequest
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.embeddings.request import EmbeddingsRequest
from dragoman.dialects.embeddings.response import shorten

CODEC = EmbeddingsDialect("mini", {}, DialectOptions())
FLOATS = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)


def packed(*numbers: float) -> bytes:
    """Return a vector as the model returns it."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def encoded(*vectors: bytes, **fields: Any) -> Any:
    """Return the response to a request, parsed."""
    request = EmbeddingsRequest(inputs=("a",) * len(vectors), requested_model="x", **fields)
    return json.loads(b"".join(CODEC.encode(request, vectors, 7)))


def test_a_complete_response() -> None:
    """Vectors in order, the model, and usage; it matches OpenAI's description."""
    body = encoded(packed(1, 0), packed(0, 0.5))
    assert body == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [1, 0]},
            {"object": "embedding", "index": 1, "embedding": [0, 0.5]},
        ],
        "model": "mini",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert_valid("CreateEmbeddingResponse", body)


@given(FLOATS)
def test_both_formats_hold_the_same_numbers(numbers: list[float]) -> None:
    """Those of the model, to the last bit."""
    vector = packed(*numbers)
    assert packed(*encoded(vector)["data"][0]["embedding"]) == vector
    assert base64.b64decode(encoded(vector, base64=True)["data"][0]["embedding"]) == vector


@given(FLOATS, st.data())
def test_shortened_vectors_have_length_one(numbers: list[float], data: st.DataObject) -> None:
    """The same direction in fewer dimensions; a zero vector stays zero."""
    size = data.draw(st.integers(1, len(numbers)))
    short = struct.unpack(f"<{size}f", shorten(packed(*numbers), size))
    length = math.hypot(*numbers[:size])
    if length:
        assert short == pytest.approx([number / length for number in numbers[:size]], abs=1e-6)
    else:
        assert short == tuple(numbers[:size])


def test_dimensions() -> None:
    """Fewer shorten the vector; all of them change nothing; more are refused by name."""
    assert encoded(packed(3, 4, 12), dimensions=2)["data"][0]["embedding"] == pytest.approx([0.6, 0.8])
    assert encoded(packed(3, 4, 12), dimensions=3)["data"][0]["embedding"] == [3, 4, 12]
    with pytest.raises(InvalidRequest, match="at most 3") as caught:
        encoded(packed(3, 4, 12), dimensions=4)
    assert caught.value.param == "dimensions"


def test_response_warnings() -> None:
    """Truncated inputs by index, and unknown usage."""
    assert [(n.code, n.param) for n in CODEC.response_warnings([0, 5], None)] == [
        ("truncated", "input[0]"),
        ("truncated", "input[5]"),
        ("unknown", "usage"),
    ]
    assert CODEC.response_warnings([], 7) == ()
