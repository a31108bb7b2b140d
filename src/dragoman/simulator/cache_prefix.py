"""Hashes of a prompt's prefixes: what the prompt cache and bound thinking compare.

Cache marks are left out, a bare string counts as one text block, and messages of one role in a row count as one,
because the API sees no difference either.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.simulator.json_values import blocks_of, object_of, objects_of, text_of
from dragoman.simulator.tokens import block_tokens, tool_tokens

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Point:
    """The place before which, or up to which, a prompt is hashed.

    Attributes:
        message: The index of the message; -1 in tools and system.
        block: The index of the block in it.
        content: The tool or block itself.
        before: Hash of all that comes before it.
        through: Hash of all up to and with it.
        tokens: Tokens of all up to and with it.
    """

    message: int
    block: int
    content: JSONObject
    before: bytes
    through: bytes
    tokens: int

    @property
    def mark(self) -> JSONObject:
        """Its `cache_control`; empty where there is none."""
        return object_of(self.content.get("cache_control"))


def points(body: JSONObject) -> Iterator[Point]:
    """Every tool, system block and message block, in the order in which the API reads them."""
    hashed = hashlib.sha256()
    before, tokens = hashed.digest(), 0
    for message, block, role, content, cost in _parts(body):
        hashed.update(role + _encoder.encode(_unmarked(content)))
        through, tokens = hashed.digest(), tokens + cost
        yield Point(message, block, content, before, through, tokens)
        before = through


def _parts(body: JSONObject) -> Iterator[tuple[int, int, bytes, JSONObject, int]]:
    """Message index, block index, the role where it changes, the content and its tokens."""
    for place, tool in enumerate(objects_of(body.get("tools"))):
        yield -1, place, b"\0tool", tool, tool_tokens(tool)
    for place, block in enumerate(blocks_of(body.get("system"))):
        yield -1, place, b"\0prompt", block, block_tokens(block)
    last = b""
    for index, message in enumerate(objects_of(body.get("messages"))):
        role = b"\0" + text_of(message.get("role")).encode()
        for place, block in enumerate(blocks_of(message.get("content"))):
            yield index, place, b"" if role == last else role, block, block_tokens(block)
            last = role


def _unmarked(block: Block) -> JSON:
    """A block without cache marks, inner ones too; citations that are null are none."""
    content = block.get("content")
    bare: JSONObject = {k: v for k, v in block.items() if k != "cache_control" and v is not None}
    if isinstance(content, str) and block.get("type") == "tool_result":
        bare["content"] = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        bare["content"] = [_unmarked(item) if isinstance(item, dict) else item for item in content]
    return bare
