"""Cache marks, so that the API reads the start of a prompt from its cache without the client's asking for it.

The API caches a prompt up to each marked block and finds it again by the same words. So the parts that stay the same
are marked: tools, system prompt, the newest message and the user's turn before it, which the request before had marked.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias, cast

import msgspec

from dragoman.core.catalog import Model
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest

CacheTtl: TypeAlias = Literal["5m", "1h", "off"]

_MARKS = 4
_BYTES_A_TOKEN = 4
_UNMARKABLE = frozenset({"thinking", "redacted_thinking"})


def marked(body: MessagesRequest, model: Model, ttl: CacheTtl, encoded: bytes) -> MessagesRequest:
    """A request with cache marks; the same one where the client has set its own, or the prompt is too small to cache.

    Args:
        body: The request; it is not changed.
        model: Whose smallest cacheable prompt holds.
        ttl: How long the API keeps what it caches.
        encoded: Its JSON.
    """
    # In a text the quotes would be escaped: what is not in the bytes is no key.
    if ttl == "off" or (b'"cache_control"' in encoded and _has_marks(cast("JSON", body))):
        return body
    mark: JSONObject = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    made = cast("JSONObject", dict(body))
    before = 0
    left = _MARKS
    for key in ("tools", "system"):
        blocks = cast("list[Block]", body.get(key) or [])
        before += _tokens(cast("JSON", blocks))
        if blocks and before >= model.cacheable_tokens:
            made[key] = [*blocks[:-1], {**blocks[-1], "cache_control": mark}]
            left -= 1
    if len(encoded) // _BYTES_A_TOKEN >= model.cacheable_tokens:
        made["messages"] = cast("JSON", _with_marks(body["messages"], mark, left))
    return cast("MessagesRequest", made)


def _with_marks(messages: list[Message], mark: JSONObject, most: int) -> list[Message]:
    made = list(messages)
    for number in list(_worth_marking(messages))[:most]:
        content = list(messages[number]["content"])
        place = max(i for i, block in enumerate(content) if block.get("type") not in _UNMARKABLE)
        content[place] = {**content[place], "cache_control": mark}
        made[number] = cast("Message", {**messages[number], "content": content})
    return made


def _worth_marking(messages: list[Message]) -> Iterator[int]:
    """The newest message and the user's turns before it, newest first, where they have a block that takes a mark."""
    for number in range(len(messages) - 1, -1, -1):
        newest = number == len(messages) - 1
        content = messages[number]["content"]
        if (newest or messages[number]["role"] == "user") and any(b.get("type") not in _UNMARKABLE for b in content):
            yield number


def _has_marks(value: JSON) -> bool:
    if isinstance(value, list):
        return any(_has_marks(item) for item in value)
    return isinstance(value, dict) and ("cache_control" in value or any(_has_marks(item) for item in value.values()))


def _tokens(value: JSON) -> int:
    """A rough count, which need only tell small prompts from large ones."""
    return len(msgspec.json.encode(value)) // _BYTES_A_TOKEN
