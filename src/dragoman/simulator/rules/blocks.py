"""Rules of content blocks: types, required fields, the roles that can have them, and texts."""

from collections.abc import Iterator
from typing import NamedTuple

from dragoman.core.messages import Block
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import blocks_of, text_of
from dragoman.simulator.request import ApiRequest

_KNOWN_TYPES = frozenset(
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
_ALLOWED_IN_SYSTEM = frozenset({"text", "tool_addition", "tool_removal"})
_REQUIRED_FIELDS = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "mcp_tool_use": ("id", "name", "input"),
    "server_tool_use": ("id", "name", "input"),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}


class LocatedBlock(NamedTuple):
    """A content block of a message, and its location.

    Attributes:
        message_index: The index of the message.
        block_index: The index of the block in the message.
        role: The role of the message.
        block: The block.
    """

    message_index: int
    block_index: int
    role: str
    block: Block

    @property
    def path(self) -> str:
        """The JSON location, as the API's messages contain it."""
        return f"messages.{self.message_index}.content.{self.block_index}"


def locate_blocks(request: ApiRequest) -> Iterator[LocatedBlock]:
    """Yield every block of the messages."""
    for message_index, message in enumerate(request.messages):
        for index, block in enumerate(blocks_of(message.get("content"))):
            yield LocatedBlock(message_index, index, text_of(message["role"]), block)


def known_types(request: ApiRequest) -> None:
    """The type is known, and the fields that it requires are given."""
    for located in locate_blocks(request):
        kind = located.block.get("type")
        if kind is None:
            raise invalid_request(f"{located.path}.type: Field required")
        if kind not in _KNOWN_TYPES:
            tags = ", ".join(f"'{tag}'" for tag in sorted(_KNOWN_TYPES))
            raise invalid_request(
                f"{located.path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
            )
        for name in _REQUIRED_FIELDS.get(text_of(kind), ()):
            if located.block.get(name) is None:
                raise invalid_request(f"{located.path}.{kind}.{name}: Field required")


def allowed_roles(request: ApiRequest) -> None:
    """Only the assistant has calls and thinking. Only the user has results and images."""
    for message_index, _, role, block in locate_blocks(request):
        kind = text_of(block["type"])
        message = f"messages.{message_index}"
        if kind in _ASSISTANT_ONLY and role != "assistant":
            raise invalid_request(f"{message}: `{kind}` blocks can only be in `assistant` messages")
        if kind in _USER_ONLY and role != "user":
            raise invalid_request(f"{message}: `{kind}` blocks can only be in `user` messages")
        if role == "system" and kind not in _ALLOWED_IN_SYSTEM:
            raise invalid_request(f"{message}: `{kind}` blocks are not permitted in `system` messages")


def texts(request: ApiRequest) -> None:
    """Text blocks are not empty, and have more than white space. The system prompt's are not empty."""
    for block in blocks_of(request.body.get("system") or []):
        if not text_of(block.get("text")):
            raise invalid_request("system: text content blocks must be non-empty")
    for located in locate_blocks(request):
        if located.block["type"] != "text":
            continue
        text = located.block["text"]
        if not isinstance(text, str):
            raise invalid_request(f"{located.path}.text.text: Input should be a valid string")
        # If the whole content is an empty string, `messages.not_empty` decides.
        if not text and isinstance(request.messages[located.message_index].get("content"), list):
            if located.block.get("cache_control"):
                raise invalid_request(f"{located.path}.text: cache_control cannot be set for empty text blocks")
            raise invalid_request("messages: text content blocks must be non-empty")
        if text and not text.strip():
            raise invalid_request("messages: text content blocks must contain non-whitespace text")


def newest_version(request: ApiRequest) -> None:
    """With `2026-10-21`, assistant messages have no documents, and the user's texts have no citations."""
    if not request.is_newest_version:
        return
    for located in locate_blocks(request):
        kind = located.block["type"]
        if located.role == "assistant" and kind == "document":
            raise invalid_request(f"messages.{located.message_index}: `document` blocks can only be in `user` messages")
        if located.role == "user" and kind == "text" and located.block.get("citations"):
            raise invalid_request(f"{located.path}.text.citations: Extra inputs are not permitted")
