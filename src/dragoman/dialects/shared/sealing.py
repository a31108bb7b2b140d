"""Content that clients carry and cannot read, encrypted with the installation's key: reasoning and summaries."""

import base64
import binascii
from typing import Protocol, cast

import msgspec

from dragoman.core.conversation import client_scope
from dragoman.core.messages import JSON, Block
from dragoman.core.value_object import value_object

_VERSION = b"\x02"
_THOUGHT, _SUMMARY = "thought", "summary"


class Cipher(Protocol):
    """Encrypts and decrypts bytes. Each value is bound to the name that it was encrypted under."""

    def encrypt(self, value: bytes, name: str) -> bytes:
        """Encrypt a value."""
        ...

    def decrypt(self, sealed: bytes, name: str) -> bytes | None:
        """Decrypt a value; None if another key or name encrypted it, or it was changed."""
        ...


@value_object
class Thought:
    """A thinking block and where it belongs. Claude accepts it nowhere else.

    Attributes:
        model: The id of the model that wrote it.
        conversation_hash: The exact hash of the conversation before it; empty if the model does not bind its thinking.
        block: The block.
    """

    model: str
    conversation_hash: str
    block: Block


class ReasoningCipher:
    """Encrypts reasoning and summaries to text for one client, and decrypts what this client sends back.

    Args:
        cipher: Holds the key.
        client: The name of the client.
    """

    def __init__(self, cipher: Cipher, client: str = "local") -> None:
        self._cipher = cipher
        # Empty for the operator, so that texts from before clients were kept apart can still be decrypted.
        self._scope = "".join(f" {name}" for name in client_scope(client).values())

    def for_client(self, client: str) -> "ReasoningCipher":
        """Return the cipher of another client. It decrypts nothing of this one."""
        return ReasoningCipher(self._cipher, client)

    def encrypt_thought(self, thought: Thought) -> str | None:
        """Encrypt a thinking block; None if Claude would not accept it back."""
        if not thought.block.get("signature") and not thought.block.get("data"):
            return None
        return self._encrypt([thought.model, thought.conversation_hash, thought.block], _THOUGHT)

    def decrypt_thought(self, text: str) -> Thought | None:
        """Decrypt a thinking block; None if this installation did not encrypt it for this client."""
        match self._decrypt(text, _THOUGHT):
            case [str(model), str(conversation_hash), dict(block)]:
                return Thought(model, conversation_hash, block)
            case _:
                return None

    def encrypt_summary(self, summary: str) -> str:
        """Encrypt the summary of a conversation."""
        return self._encrypt(summary, _SUMMARY)

    def decrypt_summary(self, text: str) -> str | None:
        """Decrypt a summary; None if this installation did not encrypt it for this client."""
        summary = self._decrypt(text, _SUMMARY)
        return summary if isinstance(summary, str) else None

    def _encrypt(self, value: JSON, name: str) -> str:
        return base64.b64encode(
            _VERSION + self._cipher.encrypt(msgspec.json.encode(value), name + self._scope)
        ).decode()

    def _decrypt(self, text: str, name: str) -> JSON:
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        value = self._cipher.decrypt(raw[1:], name + self._scope) if raw.startswith(_VERSION) else None
        return None if value is None else cast("JSON", msgspec.json.decode(value))
