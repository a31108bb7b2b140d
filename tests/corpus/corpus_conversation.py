"""The turns of a conversation: where the assistant has spoken, and what reached the API of it."""

from collections.abc import Iterable, Iterator
from typing import cast

from backend_harness import without_marks

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.messages import Block, JSONObject

_THINKING_ITEMS = THINKING_TYPES | {"reasoning"}
_LISTS = ("messages", "input")
_RESULT_END = "_output"
_RUNTIME_PROMPTS = ("x-anthropic-billing-header", "You are a Claude agent", "You are Claude Code")
"""How the texts begin that the runtime puts in front of the client's system prompt."""


def earlier_bodies(body: JSONObject) -> Iterator[JSONObject]:
    """Yield the requests whose answers are the assistant's turns in a conversation, in order."""
    field = next((name for name in _LISTS if isinstance(body.get(name), list)), None)
    items = cast("list[JSONObject]", body[field]) if field else []
    for index, item in enumerate(items):
        if _is_assistants(item) and index and not _is_assistants(items[index - 1]):
            yield {**body, str(field): [*items[:index]]}


def _is_assistants(item: JSONObject) -> bool:
    """Return whether Claude made an item: an assistant message, or in `input` also a call or reasoning."""
    if "role" in item:
        return item["role"] == "assistant"
    kind = str(item.get("type"))
    return not kind.endswith(_RESULT_END) and kind not in {"additional_tools", "compaction"}


def api_view(body: JSONObject, *, thinking: bool) -> JSONObject:
    """Return a body that reached the API without what the gateway and the runtime may add.

    These are cache marks, reminders, empty system messages, the runtime's own system prompt, and unless `thinking` the
    thinking that the gateway put back. The system prompt is one text.
    """
    stripped = cast("JSONObject", without_marks(body))
    messages = [_message(message, thinking=thinking) for message in cast("list[JSONObject]", stripped["messages"])]
    return {
        **stripped,
        "system": _system_text(stripped.get("system")),
        "messages": [message for message in messages if message["content"]],
    }


def expected_view(api: JSONObject) -> JSONObject:
    """Return a case's description in the same form."""
    described = cast("JSONObject", without_marks(api))
    if isinstance(messages := described.get("messages"), list):
        described["messages"] = [_message(cast("JSONObject", message), thinking=True) for message in messages]
    return described


def client_view(body: object, described: object) -> object:
    """Return what the client got without the thinking that newer models add, unless the case describes thinking."""
    if not isinstance(body, dict) or mentions_thinking(described):
        return body
    view = cast("JSONObject", body)
    for field in ("content", "output"):
        if isinstance(items := view.get(field), list):
            kept = [item for item in items if not (isinstance(item, dict) and item.get("type") in _THINKING_ITEMS)]
            view = {**view, field: kept}
    return view


def mentions_thinking(described: object) -> bool:
    """Return whether a case's description has a block or an item of thinking anywhere."""
    if isinstance(described, list):
        return any(mentions_thinking(item) for item in described)
    if isinstance(described, dict):
        return described.get("type") in _THINKING_ITEMS or any(mentions_thinking(item) for item in described.values())
    return False


def assistant_turns(view: JSONObject) -> list[list[Block]]:
    """Return the content of each assistant message that reached the API."""
    messages = cast("list[JSONObject]", view["messages"])
    return [_blocks(message) for message in messages if message["role"] == "assistant"]


def _message(message: JSONObject, *, thinking: bool) -> JSONObject:
    if not isinstance(message.get("content"), list):
        return message
    kept = [
        _with_result_blocks(block)
        for block in _blocks(message)
        if not str(block.get("text", "")).startswith("<system-reminder>")
        and (thinking or block.get("type") not in THINKING_TYPES)
    ]
    return {**message, "content": [*kept]}


def _with_result_blocks(block: Block) -> Block:
    if block.get("type") == "tool_result" and isinstance(block.get("content"), str):
        return {**block, "content": [{"type": "text", "text": block["content"]}]}
    return block


def _system_text(system: object) -> str:
    if not isinstance(system, list):
        return str(system or "")
    texts: Iterable[str] = (str(block["text"]) for block in system)
    return "\n\n".join(text for text in texts if not text.startswith(_RUNTIME_PROMPTS))


def _blocks(message: JSONObject) -> list[Block]:
    content = message.get("content")
    return cast("list[Block]", content) if isinstance(content, list) else []
