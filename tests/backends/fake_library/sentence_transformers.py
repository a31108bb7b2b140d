"""A fake of the library with this name. It loads at once, counts words, and fails for some model names and texts."""

import os
import struct
import time
from collections.abc import Sequence


class _Vector(list[float]):
    def astype(self, kind: str) -> "_Vector":
        """Check that the type is 32-bit floats, little endian. Convert nothing."""
        assert kind == "<f4", kind
        return self

    def tobytes(self) -> bytes:
        """Return the numbers as packed 32-bit floats."""
        return struct.pack(f"<{len(self)}f", *self)


class SentenceTransformer:
    """A model whose vectors are the number of words and the number of characters."""

    def __init__(self, path: str) -> None:
        print("a library that talks")  # noqa: T201 - real libraries print to stdout too, which is the pipe of frames
        if path == "missing":
            raise OSError("no such file: /secret/place")
        self.path = path
        self.max_seq_length = 4

    def tokenizer(self, texts: Sequence[str], **options: object) -> dict[str, list[list[int]]]:
        """Return one token for each word."""
        assert options["truncation"] is False
        return {"input_ids": [[1] * len(text.split()) for text in texts]}

    def encode(self, texts: Sequence[str], **options: object) -> list[_Vector]:
        """Return two numbers for each text. The texts `crash`, `fail` and `hang` do what they say."""
        assert options["normalize_embeddings"] is True
        if "crash" in texts:
            os._exit(3)
        if "fail" in texts:
            raise ValueError("/secret/place")
        if "hang" in texts:
            time.sleep(3600)
        return [_Vector([float(len(text.split())), float(len(text))]) for text in texts]
