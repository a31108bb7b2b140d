"""The body of `POST /v1/responses`: text format and settings. Items and tools have files of their own.

A null value means the same as a missing field.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.dialects.responses.item_schema import InputItem
from dragoman.dialects.responses.tool_schema import Tool, ToolChoiceField
from dragoman.dialects.shared.json_types import JSON, JSONObject


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
