"""What an agent does, in short: a line for each call of a tool, and one for what came of it."""

from typing import cast

import msgspec

from dragoman.messages import Block, JSONObject

_LONGEST = 400


def called(block: Block) -> str:
    """A call: the tool's name and its input."""
    written = msgspec.json.encode(block.get("input") or {}).decode()
    return f"{block.get('name')} {_short(written)}"


def came_of_it(block: Block) -> str:
    """A result."""
    mark = "✗" if block.get("is_error") is True else "→"
    return f"{mark} {_short(_text_of(block)) or 'done'}"


def _text_of(block: Block) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    parts = cast("list[JSONObject]", content or [])
    return "\n".join(str(part["text"]) if part.get("type") == "text" else f"({part.get('type')})" for part in parts)


def _short(text: str) -> str:
    text = text.strip()
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST].rstrip()}… ({len(text)} characters)"
