"""Count tokens: deterministic, and accurate enough to test limits.

Input: one token for every four characters. Output: the text is split into pieces (a word, or 12 characters of a longer
one, with the white space before it). One piece is one delta of the stream and one token.
"""

import re

import msgspec

from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.simulator.json_values import blocks_of, list_of, object_of, objects_of, text_of

_PIECE = re.compile(r"\s*\S{1,12}|\s+$")
_CHARACTERS_PER_TOKEN = 4
_IMAGE_TOKENS = 1_600
_BLOCK_OVERHEAD = 3
_MESSAGE_OVERHEAD = 4


def split_text(text: str) -> list[str]:
    """Split a text into the pieces that are streamed. Joined, they are the text."""
    return _PIECE.findall(text)


def input_tokens(body: JSONObject) -> int:
    """Return the tokens of a request's tools, system prompt and messages."""
    tools = sum(tool_tokens(tool) for tool in objects_of(body.get("tools")))
    system = sum(block_tokens(block) for block in blocks_of(body.get("system")))
    return tools + system + sum(_message_tokens(message) for message in objects_of(body.get("messages")))


def tool_tokens(tool: JSONObject) -> int:
    """Return the tokens of a tool definition."""
    return _BLOCK_OVERHEAD + _tokens(len(msgspec.json.encode(tool)))


def block_tokens(block: Block) -> int:
    """Return the tokens of a content block."""
    return _BLOCK_OVERHEAD + _content_tokens(block)


def _message_tokens(message: JSONObject) -> int:
    return _MESSAGE_OVERHEAD + sum(block_tokens(block) for block in blocks_of(message.get("content")))


def _content_tokens(block: Block) -> int:
    match block.get("type"):
        case "text":
            return _tokens(len(text_of(block.get("text"))))
        case "image":
            return _IMAGE_TOKENS
        case "document":
            return _document_tokens(object_of(block.get("source")))
        case "tool_result":
            return sum(block_tokens(inner) for inner in blocks_of(block.get("content")))
        case "thinking" | "redacted_thinking":
            return _tokens(len(text_of(block.get("thinking"))))
        case _:
            return _tokens(_json_length(block.get("input")) + _json_length(block.get("content")))


def _document_tokens(source: JSONObject) -> int:
    if source.get("type") == "content":
        return sum(block_tokens(block) for block in blocks_of(source.get("content")))
    return _tokens(len(text_of(source.get("data"))))


def _json_length(value: JSON) -> int:
    if not value and not list_of(value):
        return 0
    return len(msgspec.json.encode(value))


def _tokens(characters: int) -> int:
    """Return the number of tokens, rounded up."""
    return -(-characters // _CHARACTERS_PER_TOKEN)
