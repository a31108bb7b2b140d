"""Encode vectors in pieces: a full response is tens of megabytes of JSON."""

import base64
import math
import struct
from collections.abc import Iterator, Sequence

import msgspec

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON
from dragoman.dialects.embeddings.request import EmbeddingsRequest

_FLOAT_BYTES = 4


def encode_embeddings(request: EmbeddingsRequest, model: str, vectors: Sequence[bytes], tokens: int) -> Iterator[bytes]:
    """Encode the response, about one piece per vector.

    Args:
        request: The request.
        model: The model's name.
        vectors: 32-bit floats, little endian.
        tokens: The number of tokens that the model read.

    Raises:
        InvalidRequest: The client asked for more dimensions than the model has.
    """
    size = len(vectors[0]) // _FLOAT_BYTES
    if request.dimensions and request.dimensions > size:
        raise InvalidRequest(f"`dimensions` may be at most {size}, the size of `{model}`.", param="dimensions")
    return _pieces(request, model, vectors, tokens)


def shorten(vector: bytes, dimensions: int) -> bytes:
    """Return the first numbers of a vector, scaled to length 1 again."""
    layout = f"<{dimensions}f"
    numbers = struct.unpack_from(layout, vector)
    length = math.hypot(*numbers)
    return struct.pack(layout, *(number / length for number in numbers)) if length else struct.pack(layout, *numbers)


def _pieces(request: EmbeddingsRequest, model: str, vectors: Sequence[bytes], tokens: int) -> Iterator[bytes]:
    yield b'{"object":"list","data":['
    for index, vector in enumerate(vectors):
        item = {"object": "embedding", "index": index, "embedding": _embedding(request, vector)}
        yield (b"," if index else b"") + msgspec.json.encode(item)
    end = msgspec.json.encode({"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
    yield b"]," + end[1:]


def _embedding(request: EmbeddingsRequest, vector: bytes) -> JSON:
    size = len(vector) // _FLOAT_BYTES
    if request.dimensions and request.dimensions < size:
        vector, size = shorten(vector, request.dimensions), request.dimensions
    if request.base64:
        return base64.b64encode(vector).decode()
    return list(struct.unpack(f"<{size}f", vector))
