"""The local model itself, in its own process. Imports of the `embeddings` extra happen here alone."""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

from dragoman.backends.embedders.frames import Answer, Batch, TooLong, Unreadable, Vector
from dragoman.backends.embedders.vocabulary import UnknownToken, Vocabulary

_AT_ONCE = 32
"""Texts in one pass of the network. The library puts texts of like length together."""


class Model:
    """A sentence-transformers model in memory.

    Args:
        path: A directory, or a name on the model hub.

    Attributes:
        max_tokens: The most tokens of one input, if it has such a limit.
    """

    def __init__(self, path: str) -> None:
        self._model: Any = import_module("sentence_transformers").SentenceTransformer(path)
        self.max_tokens: int | None = self._model.max_seq_length

    def embed(self, batch: Batch) -> list[Answer]:
        """An answer for each input."""
        texts = [self._read(given) for given in batch.inputs]
        readable = [text for text in texts if isinstance(text, str)]
        counted = iter(self._counted(readable, truncate=batch.truncate) if readable else ())
        answers = [next(counted) if isinstance(text, str) else text for text in texts]
        wanted = [
            text for text, answer in zip(texts, answers, strict=True) if isinstance(text, str) and callable(answer)
        ]
        vectors = iter(self._vectors(wanted) if wanted else ())
        return [answer(next(vectors)) if callable(answer) else answer for answer in answers]

    def _read(self, given: str | list[int]) -> str | Unreadable:
        if isinstance(given, str):
            return given
        if self._vocabulary is None:
            return Unreadable(None)
        try:
            return self._vocabulary.text(given)
        except UnknownToken as error:
            return Unreadable(error.token)

    @cached_property
    def _vocabulary(self) -> Vocabulary | None:
        return Vocabulary.installed()

    def _counted(self, texts: Sequence[str], *, truncate: bool) -> list[Callable[[bytes], Vector] | TooLong]:
        """What becomes of each text once its vector is known; those that are too long get none."""
        found = self._model.tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
        return [self._counts(len(ids), truncate=truncate) for ids in found]

    def _counts(self, tokens: int, *, truncate: bool) -> Callable[[bytes], Vector] | TooLong:
        most = self.max_tokens or tokens
        if tokens > most and not truncate:
            return TooLong(tokens)
        return lambda data: Vector(data, min(tokens, most), tokens > most)

    def _vectors(self, texts: list[str]) -> list[bytes]:
        """Of length 1, as OpenAI's are."""
        made = self._model.encode(texts, batch_size=_AT_ONCE, normalize_embeddings=True, show_progress_bar=False)
        return [vector.astype("<f4").tobytes() for vector in made]
