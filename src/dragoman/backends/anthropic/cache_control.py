"""Cache marks for clients that set none, so that the API reads the beginning of a prompt from its cache.

The API caches a prompt up to each marked block, and finds it again if the text is the same. So the parts that do not
change are marked: tools, system prompt, the newest message, and the user's turn before it, which was the newest message
of the request before.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching
"""

from typing import cast

import msgspec

from dragoman.backends.anthropic.options import CacheTtl
from dragoman.core.catalog import Model
from dragoman.core.known_message import spliced_tools
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest

BYTES_PER_TOKEN = 4
"""A rough estimate, which only needs to distinguish small prompts from large ones."""

_MAX_MARKS = 4
_UNMARKABLE_TYPES = frozenset({"thinking", "redacted_thinking"})


def with_cache_marks(
    body: MessagesRequest, model: Model, ttl: CacheTtl, encoded: bytes, known: int = 0
) -> MessagesRequest:
    """Return a request with cache marks. Return the same one if the client set its own, or the prompt is too small.

    Args:
        body: The request; it is not changed.
        model: The model, which defines the smallest prompt that can be cached.
        ttl: The lifetime of the cached prompt.
        encoded: The request's JSON, without its known messages: they have no marks.
        known: The size of the known messages in bytes.
    """
    # Quotes inside a text are escaped, so a key that is not in the bytes does not exist.
    if ttl == "off" or (b'"cache_control"' in encoded and _has_marks(cast("JSON", body))):
        return body
    mark: JSONObject = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    marked = cast("JSONObject", dict(body))
    tokens_before = 0
    marks_left = _MAX_MARKS
    for key in ("tools", "system"):
        blocks = cast("list[Block]", body.get(key) or [])
        tokens_before += len(msgspec.json.encode(spliced_tools(cast("JSON", blocks)))) // BYTES_PER_TOKEN
        if blocks and tokens_before >= model.cacheable_tokens:
            marked[key] = [*blocks[:-1], {**blocks[-1], "cache_control": mark}]
            marks_left -= 1
    if (len(encoded) + known) // BYTES_PER_TOKEN >= model.cacheable_tokens:
        marked["messages"] = cast("JSON", _mark_messages(body["messages"], mark, marks_left))
    return cast("MessagesRequest", marked)


def _mark_messages(messages: list[Message], mark: JSONObject, max_marks: int) -> list[Message]:
    """Mark the newest message and the user's turns before it, each at its last block that may have a mark."""
    marked = list(messages)
    newest = len(messages) - 1
    for index in range(newest, -1, -1):
        if max_marks == 0:
            break
        message = messages[index]
        if index != newest and message["role"] != "user":
            continue
        content = list(message["content"])
        markable = [i for i, block in enumerate(content) if block.get("type") not in _UNMARKABLE_TYPES]
        if markable:
            content[markable[-1]] = {**content[markable[-1]], "cache_control": mark}
            marked[index] = cast("Message", {**message, "content": content})
            max_marks -= 1
    return marked


def _has_marks(value: JSON) -> bool:
    if isinstance(value, list):
        return any(_has_marks(item) for item in value)
    return isinstance(value, dict) and ("cache_control" in value or any(_has_marks(item) for item in value.values()))
