"""Counting: deterministic, and near enough to the real thing to test limits with.

Input counts a token for every four characters. Output is cut into pieces (a word, or 12 characters of a long one, with
the white space before it); one piece is one delta of the stream and one token.
"""

import re

import msgspec

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.simulator.json_values import blocks_of, list_of, object_of, objects_of, text_of

_PIECE = re.compile(r"\s*\S{1,12}|\s+$")
_IMAGE_TOKENS = 1_600
_BLOCK_OVERHEAD = 3
_MESSAGE_OVERHEAD = 4


def pieces(text: str) -> list[str]:
    """A text in the parts that the stream says one after the other; joined they are the text again."""
    return _PIECE.findall(text)


def input_tokens(body: JSONObject) -> int:
    """The tokens of a whole prompt: tools, system and messages."""
    tools = sum(tool_tokens(tool) for tool in objects_of(body.get("tools")))
    system = sum(block_tokens(block) for block in blocks_of(body.get("system")))
    return tools + system + sum(message_tokens(message) for message in objects_of(body.get("messages")))


def message_tokens(message: JSONObject) -> int:
    """The tokens of one message."""
    return _MESSAGE_OVERHEAD + sum(block_tokens(block) for block in blocks_of(message.get("content")))


def tool_tokens(tool: JSONObject) -> int:
    """The tokens of one tool definition."""
    return _BLOCK_OVERHEAD + _quarter(len(msgspec.json.encode(tool)))


def block_tokens(block: Block) -> int:
    """The tokens of one content block."""
    return _BLOCK_OVERHEAD + _content_tokens(block)


def _content_tokens(block: Block) -> int:
    match block.get("type"):
        case "text":
            return _quarter(len(text_of(block.get("text"))))
        case "image":
            return _IMAGE_TOKENS
        case "document":
            return _document_tokens(object_of(block.get("source")))
        case "tool_result":
            return sum(block_tokens(inner) for inner in blocks_of(block.get("content")))
        case "thinking" | "redacted_thinking":
            return _quarter(len(text_of(block.get("thinking"))))
        case _:
            return _quarter(_length(block.get("input")) + _length(block.get("content")))


def _document_tokens(source: JSONObject) -> int:
    if source.get("type") == "content":
        return sum(block_tokens(block) for block in blocks_of(source.get("content")))
    return _quarter(len(text_of(source.get("data"))))


def _length(value: JSON) -> int:
    if not value and not list_of(value):
        return 0
    return len(msgspec.json.encode(value))


def _quarter(characters: int) -> int:
    return -(-characters // 4)
