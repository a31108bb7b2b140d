"""Encryption of data on disk: AES-256-GCM, with a key of this installation."""

import os
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


KEY_BYTES = 32
_NONCE_BYTES = 12


class Cipher:
    """Encrypts and decrypts values. Each is bound to its name: it cannot be used under another name.

    Args:
        key: `KEY_BYTES` random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of_file(cls, path: Path) -> "Cipher":
        """Return the cipher whose key is in a file; see `key_of_file`."""
        return cls(key_of_file(path))

    @cached_property
    def _aes(self) -> "AESGCM":
        # Imported when it is needed for the first time: the library takes a tenth of an idle gateway's memory.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        return AESGCM(self._key)

    def encrypt(self, value: bytes, name: str) -> bytes:
        """Encrypt a value."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, value, name.encode())

    def decrypt(self, encrypted: bytes, name: str) -> bytes | None:
        """Decrypt a value. Return None if it was encrypted with another key or name, or was changed."""
        if len(encrypted) <= _NONCE_BYTES:
            return None
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see `_aes`

        try:
            return self._aes.decrypt(encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:], name.encode())
        except InvalidTag:
            return None


def key_of_file(path: Path) -> bytes:
    """Return the key in a file. Create the file with a new key if it does not exist.

    Two processes that create it at the same time use the same key: the file appears complete and only once, also when
    the power fails.

    Raises:
        OSError: The file cannot be read or created, or it holds no key.
    """
    if not path.exists():
        _create_key(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} is not a key file: move it away. Data encrypted with its key cannot be read")
    return key


def _create_key(path: Path) -> None:
    # A unique name: a draft that a crash left behind is not in the way.
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".draft", dir=path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - an open descriptor
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(handle)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
