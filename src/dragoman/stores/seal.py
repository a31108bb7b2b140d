"""Encryption of what lies on disk: AES-256-GCM, with a key of the installation's own."""

import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12


class Seal:
    """Closes and opens values. Each is bound to its name: one cannot be passed off as another.

    Args:
        key: `KEY_BYTES` of them.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of_file(cls, path: Path) -> "Seal":
        """The seal whose key is in a file, which is made with a new key where there is none.

        Two processes that make it at once agree on one: the file appears whole, and only once.
        """
        with suppress(FileNotFoundError):
            return cls(path.read_bytes())
        draft = path.with_suffix(f".{os.getpid()}.draft")
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:  # noqa: PTH123 - a mode
            file.write(os.urandom(KEY_BYTES))
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        return cls(path.read_bytes())

    def closed(self, value: bytes, name: str) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, name.encode())

    def opened(self, sealed: bytes, name: str) -> bytes | None:
        """Decrypt; None for what another key closed, or what was tampered with."""
        if len(sealed) <= _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except InvalidTag:
            return None
