"""`encrypted_content` of reasoning items: Claude's thinking as it must be sent back, in one opaque string.

The first byte of what the base64 holds is the version; the rest is, in version 1, the thinking block as JSON. What
makes it genuine is Claude's own signature in it.
"""

import base64
import binascii
from typing import cast

import msgspec

from dragoman.messages import Block

_VERSION = b"\x01"
_KINDS = frozenset({"thinking", "redacted_thinking"})


def closed(block: Block) -> str | None:
    """A thinking block as a string; none where the block carries nothing that Claude would take back."""
    if not block.get("signature") and not block.get("data"):
        return None
    return base64.b64encode(_VERSION + msgspec.json.encode(block)).decode()


def opened(text: str) -> Block | None:
    """The block in such a string; none where it is not one of ours."""
    try:
        raw = base64.b64decode(text, validate=True)
        block = msgspec.json.decode(raw[1:]) if raw.startswith(_VERSION) else None
    except (binascii.Error, ValueError, RecursionError):
        return None
    known = isinstance(block, dict) and block.get("type") in _KINDS
    return cast("Block", block) if known else None
