"""The input items of a responses request, as clients send them, answers sent back included.

Source: https://platform.openai.com/docs/api-reference/responses/create

Tools, tool choice and text format of a responses request.

The body of `POST /v1/responses`. Null stands for "not given" wherever OpenAI takes it so.

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
    """An image. `file_id` is not supported: there is no file store."""

    image_url: Annotated[str, Meta(description="A data URL (PNG, JPEG, GIF, WebP) or an https URL.")] | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputFile(Struct, tag_field="type", tag="input_file"):
    """A document. `file_id` is not supported: there is no file store."""

    file_data: Annotated[str, Meta(description="PDF or plain text, as data URL or base64.")] | None = None
    file_url: str | None = None
    filename: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: JSONObject | None = None


class InputAudio(Struct, tag_field="type", tag="input_audio"):
    """Audio: refused by name."""

    input_audio: JSON = None


class OutputText(Struct, tag_field="type", tag="output_text"):
    """Text of the assistant."""

    text: str
    annotations: JSON = None
    logprobs: JSON = None


class Refusal(Struct, tag_field="type", tag="refusal"):
    """What the assistant said when it declined."""

    refusal: str


Part = InputText | InputImage | InputFile | InputAudio | OutputText | Refusal
ResultPart = InputText | InputImage | InputFile


class Message(Struct, tag_field="type", tag="message"):
    """What somebody said. `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class FunctionCall(Struct, tag_field="type", tag="function_call"):
    """A function that the assistant called."""

    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: str | None = None


class FunctionCallOutput(Struct, tag_field="type", tag="function_call_output"):
    """What it gave."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class CustomToolCall(Struct, tag_field="type", tag="custom_tool_call"):
    """A tool of free text that the assistant called."""

    call_id: str
    name: str
    input: str
    id: str | None = None
    status: str | None = None


class CustomToolCallOutput(Struct, tag_field="type", tag="custom_tool_call_output"):
    """What it gave."""

    call_id: str
    output: str | list[ResultPart]
    id: str | None = None
    status: str | None = None


class Reasoning(Struct, tag_field="type", tag="reasoning"):
    """What the assistant thought. Only `encrypted_content` is anything to Claude."""

    summary: JSON = None
    content: JSON = None
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None


class WebSearchCall(Struct, tag_field="type", tag="web_search_call"):
    """A search that was made: left out, since what it found is not in it."""

    id: str | None = None
    status: str | None = None
    action: JSON = None


class Compaction(Struct, tag_field="type", tag="compaction"):
    """What stands for a conversation that `POST /v1/responses/compact` has summed up."""

    encrypted_content: str
    id: str | None = None


class ItemReference(Struct, tag_field="type", tag="item_reference"):
    """An item by its id: refused by name."""

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
ITEM_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in InputItem.__args__)
"""The `type` of every item that is understood."""


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 64.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None


class CustomFormat(Struct):
    """What a custom tool's text must be: anything, or what a grammar allows."""

    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text. Claude is told its grammar in words."""

    name: str
    description: str | None = None
    format: CustomFormat | None = None


class Place(Struct):
    """Roughly where the user is."""

    type: str = "approximate"
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class Filters(Struct):
    """Where to search."""

    allowed_domains: list[str] | None = None


class WebSearchTool(Struct, tag_field="type", tag="web_search"):
    """Search of the web, by Claude's own tool."""

    filters: Filters | None = None
    user_location: Place | None = None
    search_context_size: str | None = None


class OtherTool(Struct, tag_field="type", tag="other"):
    """A tool of a kind that is not to be had: left out, with a warning."""

    kind: str | None = None


Tool = FunctionTool | CustomTool | WebSearchTool | OtherTool
WEB_SEARCHES = frozenset({"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"})
"""The names that OpenAI has given its search."""
TOOL_TYPES = frozenset({"function", "custom", *WEB_SEARCHES})


class NamedChoice(Struct):
    """One tool, by its kind and, where it has one, its name."""

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
    """What the text should be like."""

    format: TextFormat | JSONObjectFormat | JSONSchemaFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(Struct):
    """How to think."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseStreamOptions(Struct):
    """How to stream."""

    include_obfuscation: bool | None = None


Tokens = Annotated[int, Meta(ge=1)]


class CreateResponse(Struct):
    """A responses request."""

    input: Annotated[str | list[InputItem], Meta(description="A text, or items.")]
    model: Annotated[str, Meta(description="An id or alias; `GET /v1/models` lists them.")] | None = None
    instructions: Annotated[str, Meta(description="The system prompt.")] | None = None

    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    include: list[str] | None = None

    tools: list[Tool] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Tokens | None = None

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
        Annotated[JSONObject, Meta(description="Of the gateway: asks for an agent, and says where and how it works.")]
        | None
    ) = None
