"""The body of `POST /v1/responses`: input items, tools, text format and settings.

A null value means the same as a missing field.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

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


Part = InputText | InputImage | InputFile | InputAudio | OutputText | Refusal
ResultPart = InputText | InputImage | InputFile


class Message(Struct, tag_field="type", tag="message"):
    """A message. `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class FunctionCall(Struct, tag_field="type", tag="function_call"):
    """A function call by the assistant."""

    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(Struct, tag_field="type", tag="function_call_output"):
    """The result of a function call."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class CustomToolCall(Struct, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool, with free text, by the assistant."""

    call_id: str
    name: str
    input: str
    id: str | None = None
    status: str | None = None


class CustomToolCallOutput(Struct, tag_field="type", tag="custom_tool_call_output"):
    """The result of a custom tool call."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class Reasoning(Struct, tag_field="type", tag="reasoning"):
    """The assistant's reasoning. Claude can use only `encrypted_content`."""

    summary: JSON = None
    content: JSON = None
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None


class WebSearchCall(Struct, tag_field="type", tag="web_search_call"):
    """A web search by the assistant. Ignored with a warning: the item does not contain the search results."""

    id: str | None = None
    status: str | None = None
    action: JSON = None


class Compaction(Struct, tag_field="type", tag="compaction"):
    """The encrypted summary of a conversation, from `POST /v1/responses/compact`."""

    encrypted_content: str
    id: str | None = None


class ItemReference(Struct, tag_field="type", tag="item_reference"):
    """A reference to an item by its id. Not supported; the error names the field."""

    id: str


InputItem = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | Reasoning
    | WebSearchCall
    | Compaction
    | ItemReference
)
ITEM_TYPES = frozenset(str(item.__struct_config__.tag) for item in InputItem.__args__)
"""The supported values of an input item's `type`."""


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 64.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None


class CustomFormat(Struct):
    """The format of a custom tool's input: any text, or text that fits a grammar."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text. Its grammar is sent to Claude as a description."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class UserLocation(Struct):
    """The user's approximate location."""

    type: str = "approximate"
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class SearchFilters(Struct):
    """Limits on the sites that a web search covers."""

    allowed_domains: list[str] | None = None


class WebSearchTool(Struct, tag_field="type", tag="web_search"):
    """Web search. Claude's own server tool runs it."""

    filters: SearchFilters | None = None
    user_location: UserLocation | None = None
    search_context_size: str | None = None


class OtherTool(Struct, tag_field="type", tag="other"):
    """A tool of an unsupported type. Ignored with a warning."""

    kind: str | None = None


Tool = FunctionTool | CustomTool | WebSearchTool | OtherTool
WEB_SEARCH_TYPES = frozenset(
    {"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"}
)
"""All values of `type` that OpenAI uses for its web search tool."""
TOOL_TYPES = frozenset({"function", "custom", *WEB_SEARCH_TYPES})
"""The supported values of a tool's `type`."""


class NamedChoice(Struct):
    """A tool choice as an object: one tool, by type and name, or a list of allowed tools."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[JSONObject] | None = None


ToolChoiceField = Literal["none", "auto", "required"] | NamedChoice


class TextFormat(Struct, tag_field="type", tag="text"):
    """Plain text."""


class JSONObjectFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JSONSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    schema: JSONObject
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(Struct):
    """The format and the verbosity of the text."""

    format: TextFormat | JSONObjectFormat | JSONSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Struct):
    """How much the model reasons, and whether the response shows a summary of it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseStreamOptions(Struct):
    """Options of a streamed response."""

    include_obfuscation: bool | None = None


INCLUDE_ENCRYPTED_REASONING = "reasoning.encrypted_content"
INCLUDE_SEARCH_SOURCES = "web_search_call.action.sources"

PositiveInt = Annotated[int, Meta(ge=1)]


class CreateResponse(Struct):
    """A responses request."""

    input: Annotated[str | list[InputItem], Meta(description="A text, or a list of items.")]
    model: Annotated[str, Meta(description="An id or alias; `GET /v1/models` lists them.")] | None = None
    instructions: Annotated[str, Meta(description="The system prompt.")] | None = None

    max_output_tokens: PositiveInt | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    include: list[str] | None = None

    tools: list[Tool] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: PositiveInt | None = None

    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None

    previous_response_id: str | None = None
    conversation: JSON = None
    store: bool | None = None
    background: bool | None = None
    prompt: JSON = None
    context_management: JSON = None

    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    moderation: JSON = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: JSONObject | None = None

    claude: (
        Annotated[JSONObject, Meta(description="A field of this gateway: runs the request as an agent, with options.")]
        | None
    ) = None
