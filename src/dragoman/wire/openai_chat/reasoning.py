"""Thinking, between the Messages API's blocks and the `reasoning_details` that chat clients keep and send back.

The form of the details is the one that OpenRouter made common: `reasoning.text` with the signature that lets the API
take the thinking back, `reasoning.encrypted` for redacted thinking.
"""

from collections.abc import Iterable

from dragoman.messages import Block, JSONObject
from dragoman.notices import Notice
from dragoman.wire.openai_chat.message_schema import AssistantMessage

FORMAT = "anthropic-claude-v1"


def detail(block: Block, index: int) -> JSONObject | None:
    """One entry of `reasoning_details`.

    Args:
        block: Any content block.
        index: The number of entries before it.

    Returns:
        The entry, or none where the block is no thinking.
    """
    kind = block.get("type")
    if kind == "thinking":
        return {
            "type": "reasoning.text",
            "text": block.get("thinking") or "",
            "signature": block.get("signature") or None,
            "format": FORMAT,
            "index": index,
        }
    if kind == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), "format": FORMAT, "index": index}
    return None


def thinking_blocks(message: AssistantMessage, path: str, notices: list[Notice]) -> list[Block]:
    """The thinking that a client sends back. Without its signature the API does not take it: left out, and said."""
    details = message.reasoning_details or []
    blocks = list(_signed(details))
    if len(blocks) < len(details):
        notices.append(_left_out(f"{path}.reasoning_details"))
    elif message.reasoning_content and not details:
        notices.append(_left_out(f"{path}.reasoning_content"))
    return blocks


def _signed(details: Iterable[JSONObject]) -> Iterable[Block]:
    for entry in details:
        kind, text, signature, data = (entry.get(key) for key in ("type", "text", "signature", "data"))
        if kind == "reasoning.text" and isinstance(signature, str) and signature:
            yield {"type": "thinking", "thinking": text if isinstance(text, str) else "", "signature": signature}
        elif kind == "reasoning.encrypted" and isinstance(data, str) and data:
            yield {"type": "redacted_thinking", "data": data}


def _left_out(param: str) -> Notice:
    return Notice("ignored", param, "Thinking without Claude's signature cannot be sent back to it.")
