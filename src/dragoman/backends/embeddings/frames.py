"""Messages between the gateway and the process of the local model: four bytes of length, then MessagePack."""

import msgspec
from msgspec import Struct

HEADER = 4
"""Bytes of the length before each frame, little endian."""


class Batch(Struct, frozen=True):
    """Inputs to embed: texts, or token ids of OpenAI's vocabulary.

    Attributes:
        inputs: At least one.
        truncate: Whether to truncate inputs that are too long for the model, instead of refusing them.
    """

    inputs: list[str | list[int]]
    truncate: bool = False


class Ready(Struct, frozen=True, tag=True):
    """The model is loaded.

    Attributes:
        max_tokens: The maximum number of tokens of one input, if the model has one.
    """

    max_tokens: int | None


class Broken(Struct, frozen=True, tag=True):
    """The model cannot be loaded, or failed on a batch. The reason is for the log only."""

    reason: str


class Vector(Struct, frozen=True, tag=True):
    """The vector of one input.

    Attributes:
        data: 32-bit floats, little endian.
        tokens: The number of tokens that the model read.
        truncated: Whether the input had more.
    """

    data: bytes
    tokens: int
    truncated: bool = False


class TooLong(Struct, frozen=True, tag=True):
    """An input has more tokens than the model reads."""

    tokens: int


class Unreadable(Struct, frozen=True, tag=True):
    """A token list has a token that is not in the vocabulary. None: the vocabulary is not installed."""

    token: int | None


Answer = Vector | TooLong | Unreadable


class Answers(Struct, frozen=True, tag=True):
    """One result for each input of a batch, in order."""

    answers: list[Answer]


Reply = Ready | Broken | Answers

REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
BATCHES = msgspec.msgpack.Decoder(Batch)


def frame(message: Batch | Reply) -> bytes:
    """Encode a message for the pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER, "little") + body
