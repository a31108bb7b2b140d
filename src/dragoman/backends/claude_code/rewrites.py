"""Rewrites what the runtime would lose or change, so that the client knows what reaches the API.

The runtime does to some conversations what no setting stops. Each function here does the same or better before the
runtime does, and warns. A live process and a replay then hold the same conversation.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.media import require_image
from dragoman.core.messages import Block, Message
from dragoman.core.warnings import RequestWarning

_MAX_IMAGE_PIXELS = 2000
"""Pixels a side above which the runtime scales an image down."""
_MAX_IMAGE_BYTES = 512_000
"""Bytes above which the runtime encodes an image again, as a JPEG."""

_NUMBERED_ID = re.compile(r"(?P<stem>.+)_(?P<number>\d+)")

_DROPPED_TEXT = "(no content)"
"""An assistant message that contains only this text is dropped by the runtime, whatever white space surrounds it."""


def rewrite_messages(messages: Sequence[Message]) -> tuple[list[Message], list[RequestWarning]]:
    """Return the messages as the runtime passes them on, and warnings about what differs from the client's messages.

    Raises:
        InvalidRequest: An image is damaged.
    """
    rewritten: list[Message] = []
    details: dict[str, str] = {}
    for message in messages:
        content = message["content"]
        if message["role"] == "user":
            content = [_without_lost_mark(block, details) for block in content]
        else:
            content = _rewritten_reply(content, details)
        if not content:
            continue
        if rewritten and rewritten[-1]["role"] == message["role"]:  # a message between them was left out
            rewritten[-1] = Message(role=message["role"], content=[*rewritten[-1]["content"], *content])
        else:
            rewritten.append(Message(role=message["role"], content=content))
    rewritten, renamed = _dedupe_call_ids(rewritten)
    warnings = [RequestWarning(code, "messages", detail) for code, detail in details.items()]
    return rewritten, [*warnings, *renamed, *_downscaled_images(rewritten)]


def live_reply(content: Sequence[Block]) -> list[Block] | None:
    """Return a response as the process that received it holds it; None if the process may hold it otherwise.

    A live process holds each block as a message of its own, and may drop one.
    """
    spoken = _spoken(content)
    if not spoken or any(map(_is_dropped, spoken)) or _thinks_after_call(content):
        return None
    return _with_calls_last(content)


def _rewritten_reply(content: Sequence[Block], details: dict[str, str]) -> list[Block]:
    """Rewrite an assistant message. `details` receives the text of each warning, by its code."""
    spoken = _spoken(content)
    if content and not spoken:
        details["left_out"] = (
            "Assistant messages of only thinking were left out: the Claude Code runtime does not pass them on."
        )
        return []
    if spoken and all(map(_is_dropped, spoken)):
        details["changed"] = (
            f"An assistant message `{_DROPPED_TEXT}` was sent with a full stop: the Claude Code runtime would drop it."
        )
        return [{**block, "text": f"{_DROPPED_TEXT}."} if _is_dropped(block) else block for block in content]
    ordered = _with_calls_last(content)
    if ordered != list(content):
        details["moved"] = (
            "Texts after a tool call in one assistant message were sent before the call: the Claude Code runtime sends "
            "calls last."
        )
    return ordered


def _spoken(content: Sequence[Block]) -> list[Block]:
    return [block for block in content if block.get("type") not in THINKING_TYPES]


def _is_dropped(block: Block) -> bool:
    """Return whether the runtime drops an assistant message that contains only this block."""
    return block.get("type") == "text" and str(block.get("text")).strip() == _DROPPED_TEXT


def _with_calls_last(content: Sequence[Block]) -> list[Block]:
    """Return the content as the runtime orders it. It leaves a call between two blocks of thinking where it is."""
    kinds = [block.get("type") for block in content]
    for before, kind, after in zip(kinds, kinds[1:], kinds[2:], strict=False):
        if kind == "tool_use" and before in THINKING_TYPES and after in THINKING_TYPES:
            return list(content)
    return sorted(content, key=lambda block: block.get("type") == "tool_use")


def _thinks_after_call(content: Sequence[Block]) -> bool:
    after_call = dropwhile(lambda block: block.get("type") != "tool_use", content)
    return any(block.get("type") in THINKING_TYPES for block in after_call)


def _without_lost_mark(block: Block, details: dict[str, str]) -> Block:
    """Remove the mark of an error from a result with images: the runtime would remove all but its texts."""
    content = block.get("content")
    if block.get("type") != "tool_result" or block.get("is_error") is not True or not isinstance(content, list):
        return block
    if all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        return block
    details["unmarked"] = (
        "Results with more than text were sent without `is_error`: the Claude Code runtime sends only the texts of "
        "an error."
    )
    return {key: value for key, value in block.items() if key != "is_error"}


def _dedupe_call_ids(messages: list[Message]) -> tuple[list[Message], list[RequestWarning]]:
    """Rename ids of tool calls that the runtime would take for copies, in calls and results alike.

    An id that is an earlier id and a number (`call_1`, then `call_1_2`) is a copy to the runtime: it would replace the
    result of that call by a text of its own. A new name stays the same as the conversation grows, because it depends
    only on the ids before it.
    """
    blocks = (block for message in messages for block in message["content"])
    call_ids = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
    if not (names := _new_names(call_ids)):
        return messages, []
    renamed = [Message(role=m["role"], content=[_renamed(b, names) for b in m["content"]]) for m in messages]
    pairs = ", ".join(f"`{old}` as `{new}`" for old, new in names.items())
    return renamed, [
        RequestWarning("renamed", "messages", f"Ids of calls that look like copies were sent under new names: {pairs}.")
    ]


def _new_names(ids: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    taken, earlier = set(ids), set[str]()
    for id_ in ids:
        match = _NUMBERED_ID.fullmatch(id_)
        if match and match["stem"] in earlier and id_ not in earlier:
            name = f"{match['stem']}-{match['number']}"
            while name in taken:
                name = f"{name}-"
            taken.add(name)
            names[id_] = name
        earlier.add(id_)
    return names


def _renamed(block: Block, names: dict[str, str]) -> Block:
    key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(str(block.get("type")))
    name = names.get(str(block.get(key))) if key else None
    return {**block, key: name} if key and name else block


def _downscaled_images(messages: Iterable[Message]) -> list[RequestWarning]:
    """Warn of images that the runtime makes smaller. It leaves images in tool results as they are."""
    blocks = [block for message in messages if message["role"] == "user" for block in message["content"]]
    count = sum(_is_large(block) for block in blocks if block.get("type") == "image")
    if not count:
        return []
    limits = f"{_MAX_IMAGE_PIXELS} pixels a side or {_MAX_IMAGE_BYTES} bytes"
    detail = f"The Claude Code runtime makes images over {limits} smaller: {count} here."
    return [RequestWarning("resized", "messages", detail)]


def _is_large(block: Block) -> bool:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return False
    size = require_image(block, "messages")
    byte_count = len(data) // 4 * 3 - data[-2:].count("=")
    return max(size) > _MAX_IMAGE_PIXELS or byte_count > _MAX_IMAGE_BYTES
