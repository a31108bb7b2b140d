"""The earlier turns of a request with `previous_response_id`, decoded. `server/stored` loads them."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.dialects.responses.input import InputReader
from dragoman.dialects.responses.item_schema import InputItem
from dragoman.dialects.responses.tools import PlacedTool, tools_in_items
from dragoman.dialects.shared.validation import peek

PREVIOUS_RESPONSE_ID = "previous_response_id"
"""The request field that names the response to continue."""


@value_object
class StoredTurn:
    """One earlier request and its response.

    Attributes:
        input_items: The request's input items.
        content: The content blocks of Claude's message, unchanged. Output items do not hold everything in them.
        model: The id of the model that wrote the message.
        conversation_hash: The exact hash of the conversation before the message.
    """

    input_items: Sequence[JSONObject]
    content: Sequence[Block]
    model: str
    conversation_hash: str


@value_object
class History:
    """The stored conversation that a request continues.

    Attributes:
        turns: The turns, oldest first; at least one.
        tools: The tools of the last request, as its client sent them.
    """

    turns: Sequence[StoredTurn]
    tools: JSON


class _PreviousResponse(Struct):
    previous_response_id: str | None = None


def previous_response_id(raw: bytes) -> str | None:
    """Return `previous_response_id` of a request body; None if it has none or cannot be read.

    Decoding the request reports what cannot be read.
    """
    if PREVIOUS_RESPONSE_ID.encode() not in raw:
        return None
    fields = peek(raw, _PreviousResponse)
    return fields.previous_response_id if fields else None


def inherit_fields(data: JSON, history: History | None) -> JSON:
    """Return the request with the model and the tools of the response before, unless it has its own."""
    if history is None or not isinstance(data, dict):
        return data
    inherited: JSONObject = {"model": history.turns[-1].model, "tools": history.tools}
    return {**data, **{name: value for name, value in inherited.items() if data.get(name) is None}}


def tools_of_history(history: History | None) -> list[PlacedTool]:
    """Return the tools that the input items of the history added to its requests."""
    turns = history.turns if history else ()
    return [tool for turn in turns for tool in tools_in_items(_items(turn), PREVIOUS_RESPONSE_ID)]


def replay_history(history: History | None, reader: InputReader) -> None:
    """Add the turns of the history to the conversation.

    Raises:
        InvalidRequest: A tool call in it has no result.
    """
    for turn in history.turns if history else ():
        reader.add(_items(turn), PREVIOUS_RESPONSE_ID)
        _replay_response(turn, reader)


def _replay_response(turn: StoredTurn, reader: InputReader) -> None:
    conversation = reader.conversation
    conversation.begin_assistant(PREVIOUS_RESPONSE_ID)
    conversation.calls.path = PREVIOUS_RESPONSE_ID
    for block in _complete_blocks(turn.content):
        reader.add_stored_block(block, turn.model, turn.conversation_hash, PREVIOUS_RESPONSE_ID)


def _items(turn: StoredTurn) -> list[InputItem]:
    return msgspec.convert(turn.input_items, list[InputItem])


def _complete_blocks(content: Sequence[Block]) -> Sequence[Block]:
    """Return the blocks that the API accepts, where a limit may have cut the message.

    The API rejects calls without arguments, blank text, and messages that end in thinking.
    """
    result_ids = {block.get("tool_use_id") for block in content}
    complete = [block for block in content if _is_complete(block, result_ids)]
    while complete and complete[-1].get("type") in THINKING_TYPES:
        complete.pop()
    return complete


def _is_complete(block: Block, result_ids: set[JSON]) -> bool:
    match block.get("type"):
        case "text":
            return bool(str(block.get("text") or "").strip())
        case "tool_use":
            return isinstance(block.get("input"), dict)
        case "server_tool_use":
            return block.get("id") in result_ids
        case _:
            return True
