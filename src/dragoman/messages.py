"""The conversation as the whole gateway holds it: Messages API JSON, as plain dictionaries.

Owned by us, not the vendor's classes: a key or block that does not exist yet must survive. The types name the parts
that we read; every dictionary may hold more.

Source: https://platform.claude.com/docs/en/api/messages
"""

from typing import Literal, TypeAlias, TypedDict

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
JSONObject: TypeAlias = dict[str, JSON]

Block: TypeAlias = JSONObject
"""A content block: `{"type": "text" | "image" | "tool_use" | …, …}`."""

Role: TypeAlias = Literal["user", "assistant", "system"]


class Message(TypedDict):
    """One turn. Content is always a list of blocks here, never a bare string."""

    role: Role
    content: list[Block]


class ThinkingConfig(TypedDict, total=False):
    """`thinking` of a request."""

    type: str
    budget_tokens: int
    display: str


class OutputConfig(TypedDict, total=False):
    """`output_config` of a request."""

    effort: str
    format: JSONObject


class MessagesRequest(TypedDict, total=False):
    """The body of `POST /v1/messages`, in canonical form: system and contents as lists of blocks."""

    model: str
    messages: list[Message]
    system: list[Block]
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    stop_sequences: list[str]
    tools: list[JSONObject]
    tool_choice: JSONObject
    thinking: ThinkingConfig
    output_config: OutputConfig
    metadata: JSONObject


class Usage(TypedDict, total=False):
    """Token counts as the API reports them."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: dict[str, int]


class FinalMessage(TypedDict, total=False):
    """A whole assistant message, as a plain (not streamed) call answers it."""

    id: str
    type: str
    role: str
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: JSONObject | None
    usage: Usage
