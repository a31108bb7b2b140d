"""Vectors as OpenAI sends them, piece by piece: a full request's are tens of megabytes of JSON."""

import base64
import math
import struct
from collections.abc import Iterator, Sequence

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON
from dragoman.dialects.embeddings.request import EmbeddingsRequest

_FLOAT = 4


def encode(request: EmbeddingsRequest, model: str, vectors: Sequence[bytes], tokens: int) -> Iterator[bytes]:
    """The answer's body, about one piece a vector.

    Args:
        request: What was asked.
        model: What made the vectors.
        vectors: 32-bit floats, little endian.
        tokens: How many tokens it read.

    Raises:
        InvalidRequest: More dimensions are wanted than the model has.
    """
    size = len(vectors[0]) // _FLOAT
    if request.dimensions and request.dimensions > size:
        raise InvalidRequest(f"`dimensions` may be {size} at most: `{model}` has no more.", param="dimensions")
    return _pieces(request, model, vectors, tokens)


def shortened(vector: bytes, dimensions: int) -> bytes:
    """The first of its numbers, at length 1 again."""
    form = f"<{dimensions}f"
    numbers = struct.unpack_from(form, vector)
    length = math.hypot(*numbers)
    return struct.pack(form, *(number / length for number in numbers)) if length else struct.pack(form, *numbers)


def _pieces(request: EmbeddingsRequest, model: str, vectors: Sequence[bytes], tokens: int) -> Iterator[bytes]:
    yield b'{"object":"list","data":['
    for index, vector in enumerate(vectors):
        item = {"object": "embedding", "index": index, "embedding": _written(request, vector)}
        yield (b"," if index else b"") + msgspec.json.encode(item)
    end = msgspec.json.encode({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    yield b"]," + end[1:]


def _written(request: EmbeddingsRequest, vector: bytes) -> JSON:
    size = len(vector) // _FLOAT
    if request.dimensions and request.dimensions < size:
        vector, size = shortened(vector, request.dimensions), request.dimensions
    if request.base64:
        return base64.b64encode(vector).decode()
    return list(struct.unpack(f"<{size}f", vector))
