"""The body of `POST /v1/chat/completions`. Null stands for "not given" wherever OpenAI takes it so.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.wire.json_types import JSON, JSONObject
from dragoman.wire.openai_chat.message_schema import ChatMessage
from dragoman.wire.openai_chat.tool_schema import (
    CustomTool,
    FunctionDefinition,
    FunctionTool,
    LegacyChoice,
    ResponseFormat,
    ToolChoice,
    WebSearchOptions,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Tokens = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class StreamOptions(Struct):
    """How to stream."""

    include_usage: Annotated[bool, Meta(description="End with a chunk that holds the usage.")] | None = None
    include_obfuscation: bool | None = None


class ChatCompletionRequest(Struct):
    """A chat completions request."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: Annotated[str, Meta(description="An id or alias; `GET /v1/models` lists them.")] | None = None

    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=0, description="Of the Messages API, for those who want it.")] | None = None
    stop: str | list[str] | None = None
    n: Tokens | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    tools: list[FunctionTool | CustomTool] | None = None
    tool_choice: ToolChoice | None = None
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
        Annotated[JSONObject, Meta(description="Of the gateway: asks for an agent, and says where and how it works.")]
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
