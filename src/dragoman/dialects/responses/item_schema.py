"""The input items of a responses request, and the content parts in them.

Source: https://platform.openai.com/docs/api-reference/responses/create, and the items that Codex sends.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.dialects.responses.tool_schema import Tool
from dragoman.dialects.shared.json_types import JSON, JSONObject


class InputText(Struct, tag_field="type", tag="input_text"):
    """Text of a user, a developer or a tool."""

    text: str
    prompt_cache_breakpoint: JSONObject | None = None


class InputImage(Struct, tag_field="type", tag="input_image"):
    """An image. `file_id` is not supported: the gateway stores no files."""

    image_url: Annotated[str, Meta(description="A data URL (PNG, JPEG, GIF, WebP) or an https URL.")] | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputFile(Struct, tag_field="type", tag="input_file"):
    """A document. `file_id` is not supported: the gateway stores no files."""

    file_data: Annotated[str, Meta(description="PDF or plain text, as data URL or base64.")] | None = None
    file_url: str | None = None
    filename: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputAudio(Struct, tag_field="type", tag="input_audio"):
    """Audio. Not supported; the error names the field."""

    input_audio: JSON = None


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text of the assistant."""

    text: str
    annotations: JSON = None
    logprobs: JSON = None


class Refusal(Struct, tag_field="type", tag="refusal"):
    """The assistant's explanation of a refusal."""

    refusal: str


class EncryptedContent(Struct, tag_field="type", tag="encrypted_content"):
    """Content that another service encrypted. Left out with a warning."""

    encrypted_content: str


Part = InputText | InputImage | InputFile | InputAudio | OutputText | Refusal
ResultPart = InputText | InputImage | InputFile | EncryptedContent
AgentPart = InputText | EncryptedContent


class Item(Struct, kw_only=True):
    """The fields that any item may have. They do not change what Claude gets."""

    id: str | None = None
    status: str | None = None
    internal_chat_message_metadata_passthrough: JSON = None


class Message(Item, tag_field="type", tag="message"):
    """A message. `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    phase: str | None = None


class AgentMessage(Item, tag_field="type", tag="agent_message"):
    """A message of one of the client's agents to another."""

    author: str
    recipient: str
    content: list[AgentPart]


class FunctionCall(Item, tag_field="type", tag="function_call"):
    """A function call by the assistant."""

    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class FunctionCallOutput(Item, tag_field="type", tag="function_call_output"):
    """The result of a function call, or of a tool that the client ran without a call (no `call_id`)."""

    output: str | list[ResultPart]
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None


class CustomToolCall(Item, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool, with free text, by the assistant."""

    call_id: str
    name: str
    input: str
    namespace: str | None = None


class CustomToolCallOutput(Item, tag_field="type", tag="custom_tool_call_output"):
    """The result of a custom tool call."""

    call_id: str
    output: str | list[ResultPart]
    name: str | None = None


class ToolSearchCall(Item, tag_field="type", tag="tool_search_call"):
    """A search for tools by the assistant."""

    arguments: JSON = None
    call_id: str | None = None
    execution: str | None = None


class ToolSearchOutput(Item, tag_field="type", tag="tool_search_output"):
    """The tools that a search found. The model may call them from here on."""

    tools: list[Tool]
    call_id: str | None = None
    execution: str | None = None


class AdditionalTools(Item, tag_field="type", tag="additional_tools"):
    """More tools of the request."""

    tools: list[Tool]
    role: str | None = None


class LocalShellCall(Item, tag_field="type", tag="local_shell_call"):
    """A command for the local shell, by the assistant."""

    action: JSONObject
    call_id: str | None = None


class LocalShellCallOutput(Item, tag_field="type", tag="local_shell_call_output"):
    """The result of a command of the local shell. Without a `call_id`, `id` names the call."""

    output: str
    call_id: str | None = None


class ShellCall(Item, tag_field="type", tag="shell_call"):
    """Commands for a shell, by the assistant."""

    call_id: str
    action: JSONObject
    environment: JSON = None


class ShellCallOutput(Item, tag_field="type", tag="shell_call_output"):
    """The results of shell commands."""

    call_id: str
    output: JSON
    max_output_length: int | None = None


class ApplyPatchCall(Item, tag_field="type", tag="apply_patch_call"):
    """A change to a file, by the assistant."""

    call_id: str
    operation: JSONObject


class ApplyPatchCallOutput(Item, tag_field="type", tag="apply_patch_call_output"):
    """The result of a change to a file."""

    call_id: str
    output: str | None = None


class Reasoning(Item, tag_field="type", tag="reasoning"):
    """The assistant's reasoning. Claude can use only `encrypted_content`."""

    summary: JSON = None
    content: JSON = None
    encrypted_content: str | None = None


class WebSearchCall(Item, tag_field="type", tag="web_search_call"):
    """A web search by the assistant. Ignored with a warning: the item does not contain the search results."""

    action: JSON = None


class ImageGenerationCall(Item, tag_field="type", tag="image_generation_call"):
    """An image by another model. Ignored with a warning: an assistant message of Claude cannot contain images."""

    result: str | None = None
    revised_prompt: str | None = None


class GhostSnapshot(Item, tag_field="type", tag="ghost_snapshot"):
    """The client's own note of the state of its files. No model sees it."""

    ghost_commit: JSON = None


class ConfigurationUpdate(Item, tag_field="type", tag="configuration_update"):
    """The client's own note of a change of its settings. Ignored with a warning."""


class Compaction(Item, tag_field="type", tag="compaction"):
    """The encrypted summary of a conversation, from `POST /v1/responses/compact` or a `compaction_trigger`."""

    encrypted_content: str


class ContextCompaction(Item, tag_field="type", tag="context_compaction"):
    """The place of a compaction. Without `encrypted_content` the messages before it still apply."""

    encrypted_content: str | None = None


class ItemReference(Item, tag_field="type", tag="item_reference"):
    """A reference to an item of a stored response, by its id."""

    id: str


InputItem = (
    Message
    | AgentMessage
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | ToolSearchCall
    | ToolSearchOutput
    | AdditionalTools
    | LocalShellCall
    | LocalShellCallOutput
    | ShellCall
    | ShellCallOutput
    | ApplyPatchCall
    | ApplyPatchCallOutput
    | Reasoning
    | WebSearchCall
    | ImageGenerationCall
    | GhostSnapshot
    | ConfigurationUpdate
    | Compaction
    | ContextCompaction
    | ItemReference
)
ITEM_TYPES = frozenset(str(item.__struct_config__.tag) for item in InputItem.__args__)
"""The supported values of an input item's `type`."""
ITEM_TYPE_ALIASES = {"compaction_summary": "compaction"}
"""Other names of item types, which older clients send."""
