"""What a remote endpoint is asked, and what it answers."""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from dragoman.errors import UpstreamFailed

_FLOAT = 4


class _Item(Struct):
    embedding: str | list[float]
    index: int


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct):
    data: list[_Item]
    usage: _Usage | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Part:
    """One answer of the endpoint.

    Attributes:
        vectors: In the order of the inputs: 32-bit floats, little endian.
        tokens: How many tokens it says it read, if it says so.
    """

    vectors: Sequence[bytes]
    tokens: int | None


def request_body(model: str, inputs: Sequence[str | list[int]], *, voyage: bool, truncate: bool) -> bytes:
    """The question. Vectors are asked for packed, as OpenAI's own clients do: a quarter of the bytes.

    Args:
        model: The model there.
        inputs: Texts or token lists.
        voyage: Whether to ask in Voyage's dialect. It cuts long inputs unless it is told not to.
        truncate: Whether they may be cut.
    """
    asked = {"model": model, "input": inputs, "encoding_format": "base64"}
    return msgspec.json.encode(asked | {"truncation": truncate} if voyage else asked)


def part_of(raw: bytes, count: int) -> Part:
    """Understand an answer.

    Args:
        raw: Its body.
        count: How many inputs were sent.

    Raises:
        UpstreamFailed: It is not what was asked for.
    """
    try:
        answer = _ANSWERS.decode(raw)
        vectors = {item.index: _packed(item.embedding) for item in answer.data}
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, struct.error, OverflowError):
        raise _unintelligible("no embeddings") from None
    if len(answer.data) != count or vectors.keys() != set(range(count)):
        raise _unintelligible(f"other than {count} embeddings")
    if any(not vector or len(vector) % _FLOAT for vector in vectors.values()):
        raise _unintelligible("broken vectors")
    return Part([vectors[index] for index in range(count)], _tokens(answer.usage))


def _packed(embedding: str | list[float]) -> bytes:
    if isinstance(embedding, str):
        return base64.b64decode(embedding, validate=True)
    return struct.pack(f"<{len(embedding)}f", *embedding)


def _tokens(usage: _Usage | None) -> int | None:
    """Voyage says the total alone, which is the same where nothing is generated."""
    if usage is None:
        return None
    return usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens


def _unintelligible(what: str) -> UpstreamFailed:
    return UpstreamFailed(f"The embeddings endpoint answered with {what}.")
