"""Looking into JSON of unknown shape without trusting it: the wrong type reads as empty."""

import re

from dragoman.core.messages import JSON, Block, JSONObject

_REMINDERS = re.compile(r"<(system-reminder|total_tokens)>.*?</\1>\s*", re.DOTALL)


def object_of(value: JSON) -> JSONObject:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: JSON) -> list[JSON]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: JSON) -> str:
    """The value where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def number_of(value: JSON) -> int | None:
    """The value where it is a whole number (`true` is none)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects_of(value: JSON) -> list[JSONObject]:
    """The objects of a list."""
    return [item for item in list_of(value) if isinstance(item, dict)]


def blocks_of(content: JSON) -> list[Block]:
    """Content as blocks: a bare string is one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects_of(content)


def plain_text(content: JSON) -> str:
    """The texts of some content, without what the runtime put between its reminder tags."""
    texts = (text_of(block.get("text")) for block in blocks_of(content) if block.get("type") == "text")
    return "\n".join(text for text in map(without_reminders, texts) if text)


def without_reminders(text: str) -> str:
    """A text without the runtime's own reminders, which are no part of what the user asks."""
    return _REMINDERS.sub("", text).strip() if "<" in text else text.strip()
