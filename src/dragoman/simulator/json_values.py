"""Read JSON of unknown shape: a value of the wrong type reads as empty."""

import re

from dragoman.core.messages import JSON, Block, JSONObject

_REMINDERS = re.compile(r"<(system-reminder|total_tokens)>.*?</\1>\s*", re.DOTALL)


def object_of(value: JSON) -> JSONObject:
    """Return the value if it is an object, else an empty object."""
    return value if isinstance(value, dict) else {}


def list_of(value: JSON) -> list[JSON]:
    """Return the value if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def text_of(value: JSON) -> str:
    """Return the value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


def int_of(value: JSON) -> int | None:
    """Return the value if it is an integer, else None. `true` is not an integer."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects_of(value: JSON) -> list[JSONObject]:
    """Return the objects of a list."""
    return [item for item in list_of(value) if isinstance(item, dict)]


def blocks_of(content: JSON) -> list[Block]:
    """Return content as blocks: a string is one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects_of(content)


def plain_text(content: JSON) -> str:
    """Return the text of content, without the reminders that the runtime adds in tags."""
    texts = (text_of(block.get("text")) for block in blocks_of(content) if block.get("type") == "text")
    return "\n".join(text for text in map(without_reminders, texts) if text)


def without_reminders(text: str) -> str:
    """Return a text without the runtime's reminders, which are not part of the user's request."""
    return _REMINDERS.sub("", text).strip() if "<" in text else text.strip()
