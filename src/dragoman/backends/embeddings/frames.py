"""What the gateway and the process of the local model say to each other: four bytes of length, then MessagePack."""

import msgspec
from msgspec import Struct

HEADER = 4
"""Bytes before each frame: its length, little endian."""


class Batch(Struct, frozen=True):
    """Inputs to embed: texts, or token ids of OpenAI's vocabulary.

    Attributes:
        inputs: At least one.
        truncate: Embed the beginning of what is too long for the model, instead of refusing it.
    """

    inputs: list[str | list[int]]
    truncate: bool = False


class Ready(Struct, frozen=True, tag=True):
    """The model is loaded.

    Attributes:
        max_tokens: The most tokens of one input, if the model has such a limit.
    """

    max_tokens: int | None


class Broken(Struct, frozen=True, tag=True):
    """The model cannot be loaded, or failed on a batch; the reason is for the log alone."""

    reason: str


class Vector(Struct, frozen=True, tag=True):
    """One input's vector.

    Attributes:
        data: 32-bit floats, little endian.
        tokens: How many tokens the model read.
        truncated: Whether the input had more.
    """

    data: bytes
    tokens: int
    truncated: bool = False


class TooLong(Struct, frozen=True, tag=True):
    """An input of more tokens than the model reads."""

    tokens: int


class Unreadable(Struct, frozen=True, tag=True):
    """A list with a token that is not in the vocabulary; none where the vocabulary itself is not there."""

    token: int | None


Answer = Vector | TooLong | Unreadable


class Answers(Struct, frozen=True, tag=True):
    """One answer for each input of a batch, in its order."""

    answers: list[Answer]


Reply = Ready | Broken | Answers

REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
BATCHES = msgspec.msgpack.Decoder(Batch)


def frame(message: Batch | Reply) -> bytes:
    """A message as it goes through the pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER, "little") + body
