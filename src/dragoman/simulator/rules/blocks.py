"""Content blocks: their types, where each may stand, and their texts."""

from collections.abc import Iterator

from dragoman.messages import Block
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.shapes import blocks_of, text_of

_KNOWN = frozenset(
    {
        "advisor_tool_result",
        "bash_code_execution_tool_result",
        "code_execution_tool_result",
        "compaction",
        "connector_text",
        "container_upload",
        "document",
        "fallback",
        "image",
        "mcp_tool_result",
        "mcp_tool_use",
        "redacted_thinking",
        "search_result",
        "server_tool_use",
        "text",
        "text_editor_code_execution_tool_result",
        "thinking",
        "tool_addition",
        "tool_reference",
        "tool_removal",
        "tool_result",
        "tool_search_tool_result",
        "tool_use",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)
_ASSISTANT_ONLY = frozenset({"tool_use", "thinking", "redacted_thinking", "server_tool_use"})
_USER_ONLY = frozenset({"tool_result", "image", "search_result"})
_SYSTEM = frozenset({"text", "tool_addition", "tool_removal"})
_REQUIRED = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}


def placed_blocks(call: Call) -> Iterator[tuple[str, str, Block]]:
    """Each block of the messages: its place as the API writes it, the role, the block."""
    for index, message in enumerate(call.messages):
        for place, block in enumerate(blocks_of(message.get("content"))):
            yield f"messages.{index}.content.{place}", text_of(message["role"]), block


def known_blocks(call: Call) -> None:
    """Known types, with the fields that they need."""
    for path, _role, block in placed_blocks(call):
        kind = block.get("type")
        if kind is None:
            raise refuse(f"{path}.type: Field required")
        if kind not in _KNOWN:
            tags = ", ".join(f"'{tag}'" for tag in sorted(_KNOWN))
            raise refuse(
                f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
            )
        for name in _REQUIRED.get(text_of(kind), ()):
            if block.get(name) is None:
                raise refuse(f"{path}.{kind}.{name}: Field required")


def allowed_in_role(call: Call) -> None:
    """Calls and thinking are the assistant's, results and images the user's."""
    for path, role, block in placed_blocks(call):
        kind = text_of(block["type"])
        message = path.partition(".content")[0]
        if kind in _ASSISTANT_ONLY and role != "assistant":
            raise refuse(f"{message}: `{kind}` blocks can only be in `assistant` messages")
        if kind in _USER_ONLY and role != "user":
            raise refuse(f"{message}: `{kind}` blocks can only be in `user` messages")
        if role == "system" and kind not in _SYSTEM:
            raise refuse(f"{message}: `{kind}` blocks are not permitted in `system` messages")


def texts(call: Call) -> None:
    """Texts say something. The system prompt's too."""
    for block in blocks_of(call.body.get("system") or []):
        if not text_of(block.get("text")):
            raise refuse("system: text content blocks must be non-empty")
    for path, _role, block in placed_blocks(call):
        if block["type"] != "text":
            continue
        text = block["text"]
        if not isinstance(text, str):
            raise refuse(f"{path}.text.text: Input should be a valid string")
        # An empty string as the whole content is an empty message, which has its own rule.
        if not text and _is_listed(call, path):
            if block.get("cache_control"):
                raise refuse(f"{path}.text: cache_control cannot be set for empty text blocks")
            raise refuse("messages: text content blocks must be non-empty")
        if text and not text.strip():
            raise refuse("messages: text content blocks must contain non-whitespace text")


def newest_version(call: Call) -> None:
    """`2026-10-21`: no documents in assistant messages, no citations on the user's texts."""
    if not call.newest_version:
        return
    for path, role, block in placed_blocks(call):
        if role == "assistant" and block["type"] == "document":
            raise refuse(f"{path.partition('.content')[0]}: `document` blocks can only be in `user` messages")
        if role == "user" and block["type"] == "text" and block.get("citations"):
            raise refuse(f"{path}.text.citations: Extra inputs are not permitted")


def _is_listed(call: Call, path: str) -> bool:
    return isinstance(call.messages[int(path.split(".")[1])].get("content"), list)
