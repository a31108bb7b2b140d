"""The body of `POST /v1/chat/completions`: messages, tools, formats and parameters, as clients send them.

Wider than OpenAI's description where clients are: messages sent back unchanged carry fields of responses. Null means
"not given" wherever OpenAI accepts it.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.dialects.chat.parts import AssistantPart, ResultPart, TextPart, UserPart
from dragoman.dialects.shared.json_types import JSON, JSONObject


class SystemMessage(Struct, tag_field="role", tag="system"):
    """Instructions."""

    content: str | list[TextPart]
    name: str | None = None


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    """Instructions, under the newer name of the role."""

    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Struct, tag_field="role", tag="user"):
    """A user message."""

    content: str | list[UserPart]
    name: str | None = None


class FunctionCall(Struct):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str | None = None


class ToolCall(Struct):
    """A tool call of the assistant."""

    id: str
    function: FunctionCall | None = None
    type: str = "function"
    custom: JSON = None
    index: int | None = None


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    """An assistant message: text, thinking and tool calls."""

    content: str | list[AssistantPart] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    reasoning_content: str | None = None
    reasoning_details: list[JSONObject] | None = None
    name: str | None = None
    audio: JSON = None
    annotations: JSON = None


class ToolMessage(Struct, tag_field="role", tag="tool"):
    """The result of a tool call."""

    tool_call_id: str
    content: str | list[ResultPart] | None = None
    name: str | None = None


class FunctionMessage(Struct, tag_field="role", tag="function"):
    """The result of a function call, in the legacy form."""

    name: str
    content: str | None = None


ChatMessage = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class FunctionDefinition(Struct):
    """A function that the model may call."""

    name: Annotated[str, Meta(description="Letters, digits, `_` and `-`, up to 64.")]
    description: str | None = None
    parameters: Annotated[JSONObject, Meta(description="A JSON schema.")] | None = None
    strict: bool | None = None


class FunctionTool(Struct, tag_field="type", tag="function"):
    """A tool."""

    function: FunctionDefinition
    cache_control: JSONObject | None = None


class CustomTool(Struct, tag_field="type", tag="custom"):
    """A tool that takes free text: refused by name."""

    custom: JSON = None


class FunctionName(Struct):
    """A function's name."""

    name: str


class NamedToolChoice(Struct, tag_field="type", tag="function"):
    """The model must call this tool."""

    function: FunctionName


class CustomToolChoice(Struct, tag_field="type", tag="custom"):
    """A custom tool: refused by name."""

    custom: JSON = None


class AllowedTool(Struct):
    """One of the allowed tools."""

    function: FunctionName
    type: str = "function"


class AllowedTools(Struct):
    """The tools that may be called."""

    mode: Literal["auto", "required"]
    tools: list[AllowedTool]


class AllowedToolsChoice(Struct, tag_field="type", tag="allowed_tools"):
    """The model may call only these tools."""

    allowed_tools: AllowedTools


ToolChoiceField = Literal["none", "auto", "required"] | NamedToolChoice | CustomToolChoice | AllowedToolsChoice
LegacyChoice = Literal["none", "auto"] | FunctionName


class SchemaFormat(Struct):
    """A named JSON schema."""

    name: str | None = None
    description: str | None = None
    schema: JSONObject | None = None
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    """Plain text."""


class JSONObjectFormat(Struct, tag_field="type", tag="json_object"):
    """Any JSON object."""


class JSONSchemaFormat(Struct, tag_field="type", tag="json_schema"):
    """JSON that fits a schema."""

    json_schema: SchemaFormat


ResponseFormat = TextFormat | JSONObjectFormat | JSONSchemaFormat


class Location(Struct):
    """The user's approximate location."""

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class UserLocation(Struct):
    """The user's location."""

    approximate: Location
    type: str = "approximate"


class WebSearchOptions(Struct):
    """Options of web search."""

    user_location: UserLocation | None = None
    search_context_size: str | None = None


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Tokens = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class StreamOptions(Struct):
    """Options of a stream."""

    include_usage: Annotated[bool, Meta(description="End with a chunk that holds the usage.")] | None = None
    include_obfuscation: bool | None = None


class ChatCompletionRequest(Struct):
    """A chat completions request."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    system: (
        Annotated[str | list[TextPart], Meta(description="Instructions before the messages, as in the Messages API.")]
        | None
    ) = None
    model: Annotated[str, Meta(description="An id or alias; `GET /v1/models` lists them.")] | None = None

    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=0, description="A parameter of the Messages API.")] | None = None
    stop: str | list[str] | None = None
    n: Tokens | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    tools: list[FunctionTool | CustomTool] | None = None
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDefinition] | None = None
    function_call: LegacyChoice | None = None
    web_search_options: WebSearchOptions | None = None

    response_format: ResponseFormat | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: list[str] | None = None
    audio: JSON = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    user: str | None = None
    safety_identifier: str | None = None
    metadata: JSONObject | None = None
    store: bool | None = None
    claude: (
        Annotated[
            JSONObject,
            Meta(description="An extension of the gateway: asks for an agent, and sets where and how it works."),
        ]
        | None
    ) = None

    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: JSONObject | None = None
    seed: int | None = None
    prediction: JSON = None
    moderation: JSON = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: JSON = None
