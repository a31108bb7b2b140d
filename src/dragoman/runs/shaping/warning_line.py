"""Show warnings as one line in front of a response: people do not see the headers of their clients' requests.

The client sends the line back with the conversation. It is removed there, so Claude never sees it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import cast

from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning

_LINE = re.compile(r"\A\[dragoman\] [^\n]*(?:\n{1,2}|\Z)")
_MAX_LENGTH = 600
_NOT_SHOWN = frozenset({"renamed"})
"""Codes of warnings that change nothing for a person."""


def warning_line(warnings: Iterable[RequestWarning]) -> str:
    """Return the line, with the empty line that ends it; an empty string if there is nothing to show."""
    shown = dict.fromkeys(f"{one.param}: {one.detail}" for one in warnings if one.code not in _NOT_SHOWN)
    text = " ".join(" ".join(shown).split())
    if len(text) > _MAX_LENGTH:
        text = f"{text[:_MAX_LENGTH]}…"
    return f"[dragoman] {text}\n\n" if text else ""


def without_warning_lines(messages: Sequence[Message]) -> list[Message]:
    """Return a conversation without the lines at the start of Claude's texts."""
    return [_without_line(message) if message["role"] == "assistant" else message for message in messages]


def is_for_people(body: MessagesRequest) -> bool:
    """Return whether the text of a response is not structured output, which programs parse."""
    fields = cast("JSONObject", body)
    config = fields.get("output_config")
    return not fields.get("output_format") and not (isinstance(config, dict) and config.get("format"))


def _without_line(message: Message) -> Message:
    content = message["content"]
    first = next((index for index, block in enumerate(content) if block.get("type") == "text"), None)
    text = "" if first is None else str(content[first].get("text"))
    shortened = _LINE.sub("", text)
    if first is None or shortened == text:
        return message
    kept: list[Block] = [{**content[first], "text": shortened}] if shortened.strip() else []
    return cast("Message", {**message, "content": [*content[:first], *kept, *content[first + 1 :]]})
