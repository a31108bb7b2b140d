"""Encryption of what lies on disk: AES-256-GCM, with a key of the installation's own."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12


class Cipher:
    """Closes and opens values. Each is bound to its name: one cannot be passed off as another.

    Args:
        key: `KEY_BYTES` of them.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    @classmethod
    def of_file(cls, path: Path) -> "Cipher":
        """The seal whose key is in a file, which is made with a new key where there is none.

        Two that make it at once agree on one: the file appears whole, and only once, also where the power fails.

        Raises:
            OSError: The file cannot be read or made, or holds no key.
        """
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise OSError(f"{path} is no key: move it away. What it closed cannot be opened without it")
        return cls(key)

    def encrypt(self, value: bytes, name: str) -> bytes:
        """Encrypt."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, name.encode())

    def decrypt(self, sealed: bytes, name: str) -> bytes | None:
        """Decrypt; None for what another key closed, or what was tampered with."""
        if len(sealed) <= _NONCE:
            return None
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except InvalidTag:
            return None


def _make_key(path: Path) -> None:
    # A name of its own: what a crash leaves of another draft is in nobody's way.
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".draft", dir=path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - it is open already
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(handle)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
