"""What clients carry for us and may not look into: sealed by the installation's key, in one opaque string."""

import base64
import binascii
from dataclasses import dataclass
from typing import Protocol, cast

import msgspec

from dragoman.core.messages import JSON, Block

_VERSION = b"\x02"
_THOUGHT, _SUMMARY = "thought", "summary"


class Sealer(Protocol):
    """Closes and opens bytes; each is bound to the name that it was closed under."""

    def encrypt(self, value: bytes, name: str) -> bytes:
        """Encrypt."""
        ...

    def decrypt(self, sealed: bytes, name: str) -> bytes | None:
        """Decrypt; None for what another closed, or what was tampered with."""
        ...


@dataclass(frozen=True, slots=True)
class Thought:
    """A thinking block, and where it belongs: to Claude it is nothing anywhere else.

    Attributes:
        model: Who thought it.
        before: The exact name of the conversation up to it; empty where it is bound to none.
        block: The block.
    """

    model: str
    before: str
    block: Block


class ReasoningCipher:
    """Makes such strings and reads them.

    Args:
        sealer: What holds the key.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def thought(self, thought: Thought) -> str | None:
        """A thought, closed; none where the block carries nothing that Claude would take back."""
        if not thought.block.get("signature") and not thought.block.get("data"):
            return None
        return self._closed([thought.model, thought.before, thought.block], _THOUGHT)

    def thought_in(self, text: str) -> Thought | None:
        """The thought in such a string; none where it is not one of ours."""
        match self._opened(text, _THOUGHT):
            case [str(model), str(before), dict(block)]:
                return Thought(model, before, block)
            case _:
                return None

    def summary(self, text: str) -> str:
        """What stands for a conversation, closed."""
        return self._closed(text, _SUMMARY)

    def summary_in(self, text: str) -> str | None:
        """The summary in such a string; none where it is not one of ours."""
        found = self._opened(text, _SUMMARY)
        return found if isinstance(found, str) else None

    def _closed(self, value: JSON, name: str) -> str:
        return base64.b64encode(_VERSION + self._sealer.encrypt(msgspec.json.encode(value), name)).decode()

    def _opened(self, text: str, name: str) -> JSON:
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        opened = self._sealer.decrypt(raw[1:], name) if raw.startswith(_VERSION) else None
        return None if opened is None else cast("JSON", msgspec.json.decode(opened))
