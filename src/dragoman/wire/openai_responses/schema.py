"""The body of `POST /v1/responses`. Null stands for "not given" wherever OpenAI takes it so.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSON, JSONObject
from dragoman.wire.openai_responses.item_schema import InputItem
from dragoman.wire.openai_responses.tool_schema import (
    ReasoningOptions,
    ResponseStreamOptions,
    TextOptions,
    Tool,
    ToolChoice,
)

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
    tool_choice: ToolChoice | None = None
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
