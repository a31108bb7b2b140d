"""Empty messages, and the answer that the client began.

Messages: their roles, their order and the shape of their content.

Content blocks: their types, where each may stand, and their texts.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dragoman.core.messages import Block
from dragoman.simulator.faults import refuse
from dragoman.simulator.json_values import blocks_of, list_of, objects_of, text_of
from dragoman.simulator.request import RUNTIME_BETA, Call


def not_empty(call: Call) -> None:
    """Only the last message may be empty, if it is the assistant's; a system message, if it sets something."""
    last = len(call.messages) - 1
    for index, message in enumerate(call.messages):
        if message.get("content") or (message["role"] == "system" and "output_config" in message):
            continue
        if message["role"] != "assistant" or index != last:
            raise refuse(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )


def prefill(call: Call) -> None:
    """An assistant message at the end begins the answer, where the model takes that."""
    spoken = [message for message in call.messages if message["role"] != "system"]
    last = spoken[-1]
    if last["role"] != "assistant" or _is_paused(call):
        return
    if not call.model.prefill:
        raise refuse(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    blocks = blocks_of(last.get("content"))
    text = text_of(blocks[-1].get("text")) if blocks else ""
    if text != text.rstrip():
        raise refuse("messages: final assistant content cannot end with trailing whitespace")


def _is_paused(call: Call) -> bool:
    """Whether the last message is a turn that stopped with `pause_turn`, which is sent back to go on."""
    blocks = blocks_of(call.messages[-1].get("content"))
    return bool(blocks) and blocks[-1].get("type") == "server_tool_use"


_MOST_MESSAGES = 100_000
_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "user": frozenset({"role", "content"}),
        "assistant": frozenset({"role", "content"}),
        "system": frozenset({"role", "content", "clear_at", "output_config"}),
    }
)


def roles(call: Call) -> None:
    """`user`, `assistant`, and `system` where the model takes it."""
    if len(call.messages) > _MOST_MESSAGES:
        raise refuse(f"messages: List should have at most {_MOST_MESSAGES} items")
    for index, message in enumerate(list_of(call.body.get("messages"))):
        if not isinstance(message, dict):
            raise refuse(f"messages.{index}: Input should be a valid dictionary or object to extract fields from")
        role = message.get("role")
        if role is None:
            raise refuse(f"messages.{index}.role: Field required")
        if role == "system" and not _takes_system(call):
            raise refuse(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        if role not in _FIELDS:
            raise refuse(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"')


def shapes(call: Call) -> None:
    """Content is a string or a list of blocks; nothing else stands beside it."""
    for index, message in enumerate(call.messages):
        for name in message:
            # The effort of a message has its own rule, by model.
            if name not in _FIELDS[text_of(message["role"])] and name != "output_config":
                raise refuse(f"messages.{index}.{name}: Extra inputs are not permitted")
        content = message.get("content")
        if content is None:
            raise refuse(f"messages.{index}.content: Field required")
        if not isinstance(content, str | list):
            raise refuse(f"messages.{index}.content: Input should be a valid list")
        if len(objects_of(content)) != len(list_of(content)):
            raise refuse(
                f"messages.{index}.content: Input should be a valid dictionary or object to extract fields from"
            )


def first_message(call: Call) -> None:
    """The user begins; system messages may stand before."""
    first = next((message for message in call.messages if message["role"] != "system"), None)
    if first is None or first["role"] != "user":
        raise refuse('messages: first message must use the "user" role')


def message_effort(call: Call) -> None:
    """A system message may set the effort from there on, on models that can change it."""
    for index, message in enumerate(call.messages):
        if "output_config" not in message:
            continue
        if message["role"] != "system" or not any(beta.startswith("per-turn-control-") for beta in call.betas):
            raise refuse(f"messages.{index}.output_config: Extra inputs are not permitted")
        if not call.model.message_effort:
            raise refuse(f"messages.{index}.output_config: requires a model that supports per-turn effort")


def _takes_system(call: Call) -> bool:
    """By model; but the runtime, signed in, sends them to Sonnet 5 too, where the documentation says no."""
    return call.model.system_messages or (call.model.id == "claude-sonnet-5" and RUNTIME_BETA in call.betas)


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
