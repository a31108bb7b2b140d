"""Stands in for the library of that name: loads at once, counts words, and breaks where its model's name says so."""

import os
import struct
import time
from collections.abc import Sequence


class _Vector(list[float]):
    def astype(self, kind: str) -> "_Vector":
        """Only the type that the gateway promises."""
        assert kind == "<f4", kind
        return self

    def tobytes(self) -> bytes:
        """The numbers, packed."""
        return struct.pack(f"<{len(self)}f", *self)


class SentenceTransformer:
    """A model whose vectors are the number of words and the number of letters."""

    def __init__(self, path: str) -> None:
        print("a library that talks")  # noqa: T201 - as they do, on the very stream that frames go through
        if path == "missing":
            raise OSError("no such file: /secret/place")
        self.path = path
        self.max_seq_length = 4

    def tokenizer(self, texts: Sequence[str], **options: object) -> dict[str, list[list[int]]]:
        """A token for each word."""
        assert options["truncation"] is False
        return {"input_ids": [[1] * len(text.split()) for text in texts]}

    def encode(self, texts: Sequence[str], **options: object) -> list[_Vector]:
        """Two numbers for each text."""
        assert options["normalize_embeddings"] is True
        if "crash" in texts:
            os._exit(3)
        if "fail" in texts:
            raise ValueError("/secret/place")
        if "hang" in texts:
            time.sleep(3600)
        return [_Vector([float(len(text.split())), float(len(text))]) for text in texts]
