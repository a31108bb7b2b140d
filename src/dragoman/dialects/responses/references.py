"""References to items of stored responses (`item_reference`): the ids in a request, and the items that they name.

The id of an item contains the digits of its response's id, so that no index is needed.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import cast

from msgspec import Struct

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.dialects.shared.tools import WEB_SEARCH
from dragoman.dialects.shared.validation import peek

_ITEM_ID = re.compile(r"[a-z]+_i?(?P<digits>[0-9a-f]{32})[0-9a-f]{4,}")


@value_object
class Reference:
    """A reference in a request.

    Attributes:
        id: The id of the item.
        param: The path of the id in the request.
    """

    id: str
    param: str


@value_object
class ReferencedItem:
    """An item of a stored response.

    Attributes:
        item: The item, as clients see it.
        blocks: The content blocks of Claude's that became the item; empty for an item that Claude did not write.
        model: The id of the model that wrote them.
        conversation_hash: The exact hash of the conversation before the message.
    """

    item: JSONObject
    blocks: Sequence[Block] = ()
    model: str = ""
    conversation_hash: str = ""


NO_REFERENCES: Mapping[str, ReferencedItem] = MappingProxyType({})


class _Head(Struct):
    type: str | None = None
    id: str | None = None
    role: str | None = None


class _Request(Struct):
    input: str | list[_Head] | None = None


def item_references(raw: bytes) -> list[Reference]:
    """Return the references in a request body; nothing if it cannot be read. Decoding reports what cannot be read."""
    if b'"id"' not in raw:
        return []
    request = peek(raw, _Request)
    heads = request.input if request and isinstance(request.input, list) else []
    return [
        Reference(head.id, f"input[{index}].id")
        for index, head in enumerate(heads)
        if head.id is not None and (head.type == "item_reference" or (head.type is None and head.role is None))
    ]


def with_resolved_items(items: list[JSON], references: Mapping[str, ReferencedItem]) -> list[JSON]:
    """Return input items with the items that they refer to in place of the references."""
    if not references:
        return items
    return [_resolved(item, references) for item in items]


def response_digits(item_id: str) -> str | None:
    """Return the digits of the id of the response that an item belongs to; None if no response has such an item."""
    found = _ITEM_ID.fullmatch(item_id)
    return found["digits"] if found else None


def blocks_of_item(content: Sequence[Block], output: Sequence[JSONObject], index: int) -> Sequence[Block]:
    """Return the content blocks that became an output item.

    Args:
        content: Claude's message.
        output: The output items of its response.
        index: The index of the item.

    Returns:
        The blocks; none if they cannot be sent as they are: a limit cut them, or the output differs.
    """
    groups = _grouped(content)
    if index >= len(groups) or [kind for kind, _ in groups[: index + 1]] != [
        _kind_of_item(item) for item in output[: index + 1]
    ]:
        return ()
    kind, blocks = groups[index]
    if kind == "search" and len(blocks) == 1:  # the API does not accept a search without results
        return ()
    return () if any(_is_cut(block) for block in blocks) else [block for block in blocks if not _is_blank(block)]


def _resolved(item: JSON, references: Mapping[str, ReferencedItem]) -> JSON:
    if isinstance(item, dict) and item.get("type") == "item_reference":
        found = references.get(str(item.get("id")))
        return found.item if found else item
    return item


def _grouped(content: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Return the blocks of each output item with the kind of the item. Adjacent texts are one item."""
    groups: list[tuple[str, list[Block]]] = []
    for block in content:
        kind = _kind_of_block(block)
        if kind is None:
            continue
        continues = bool(groups) and groups[-1][0] == kind and kind == "message"
        if continues or (kind == "result" and groups and groups[-1][0] == "search"):
            groups[-1][1].append(block)
        elif kind != "result":
            groups.append((kind, [block]))
    return groups


def _kind_of_block(block: Block) -> str | None:
    match block.get("type"):
        case "text":
            return "message" if block.get("text") else None
        case "tool_use":
            return "call"
        case "server_tool_use" if block.get("name") == WEB_SEARCH:
            return "search"
        case "web_search_tool_result":
            return "result"
        case kind if kind in THINKING_TYPES:
            return "reasoning"
        case _:
            return None


def _kind_of_item(item: JSONObject) -> str:
    match item.get("type"):
        case "message" | "reasoning" as kind:
            return cast("str", kind)
        case "web_search_call":
            return "search"
        case _:
            return "call"


def _is_cut(block: Block) -> bool:
    return "input" in block and not isinstance(block["input"], dict)


def _is_blank(block: Block) -> bool:
    return block.get("type") == "text" and not str(block.get("text")).strip()
