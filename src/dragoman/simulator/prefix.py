"""Hashes of the prefixes of a prompt, which the prompt cache and bound thinking compare.

As in the API, a prefix does not depend on cache marks, on whether content is a string or one text block, or on how
consecutive messages of one role are divided. Tools with `defer_loading` are not in the prefix: a `tool_reference` in a
message loads them.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.simulator.json_values import blocks_of, object_of, objects_of, text_of
from dragoman.simulator.tokens import block_tokens, tool_tokens

_encoder = msgspec.json.Encoder(order="deterministic")


@value_object
class HashedBlock:
    """A tool or content block of a prompt, with the hashes of the prefixes before it and up to it.

    Attributes:
        message_index: The index of the message; -1 for tools and the system prompt.
        block_index: The index of the block in its message, in `tools` or in `system`.
        content: The tool or block.
        hash_before: The hash of everything before the block.
        hash_through: The hash of everything up to and including the block.
        tokens_through: The tokens of everything up to and including the block.
    """

    message_index: int
    block_index: int
    content: JSONObject
    hash_before: bytes
    hash_through: bytes
    tokens_through: int

    @property
    def cache_control(self) -> JSONObject:
        """Its cache mark; empty if it has no mark."""
        return object_of(self.content.get("cache_control"))

    @property
    def path(self) -> str:
        """Its JSON location in `messages`."""
        return f"messages.{self.message_index}.content.{self.block_index}"


def hash_blocks(body: JSONObject) -> Iterator[HashedBlock]:
    """Yield every tool in the prompt, system block and message block, in the order in which the API reads them."""
    hash_ = hashlib.sha256()
    before, tokens = hash_.digest(), 0
    for message_index, index, role, content, cost in _blocks_in_order(body):
        hash_.update(role + _encoder.encode(_without_marks(content)))
        through, tokens = hash_.digest(), tokens + cost
        yield HashedBlock(message_index, index, content, before, through, tokens)
        before = through


def _blocks_in_order(body: JSONObject) -> Iterator[tuple[int, int, bytes, JSONObject, int]]:
    """Yield message index, block index, the role if it differs from the block before, the content and its tokens."""
    for index, tool in enumerate(objects_of(body.get("tools"))):
        if tool.get("defer_loading") is not True:
            yield -1, index, b"\0tool", tool, tool_tokens(tool)
    for index, block in enumerate(blocks_of(body.get("system"))):
        yield -1, index, b"\0prompt", block, block_tokens(block)
    previous_role = b""
    for message_index, message in enumerate(objects_of(body.get("messages"))):
        role = b"\0" + text_of(message.get("role")).encode()
        for index, block in enumerate(blocks_of(message.get("content"))):
            yield message_index, index, b"" if role == previous_role else role, block, block_tokens(block)
            previous_role = role


def _without_marks(block: Block) -> JSON:
    """Return a block without cache marks, also in inner blocks, and without null fields."""
    content = block.get("content")
    unmarked: JSONObject = {k: v for k, v in block.items() if k != "cache_control" and v is not None}
    if isinstance(content, str) and block.get("type") == "tool_result":
        unmarked["content"] = [{"type": "text", "text": content}]
    elif isinstance(content, list):
        unmarked["content"] = [_without_marks(item) if isinstance(item, dict) else item for item in content]
    return unmarked
