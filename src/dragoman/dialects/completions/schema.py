"""The body of `POST /v1/completions`. Null means "not given" wherever OpenAI accepts it.

Source: https://platform.openai.com/docs/api-reference/completions/create
"""

from typing import Annotated

from msgspec import Meta, Struct

from dragoman.dialects.shared.json_types import JSONObject

Tokens = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class TextStreamOptions(Struct):
    """Options of a stream."""

    include_usage: Annotated[bool, Meta(description="End with a chunk that holds the usage.")] | None = None
    include_obfuscation: bool | None = None


class TextCompletionRequest(Struct):
    """A text completions request."""

    prompt: Annotated[
        str | list[str | int | list[int]],
        Meta(description="A text, or a list of texts; each is continued. Token ids are refused."),
    ]
    model: Annotated[str, Meta(description="An id or alias; `GET /v1/models` lists them.")] | None = None

    suffix: Annotated[str, Meta(description="The text that follows; sent to Claude as an instruction.")] | None = None
    max_tokens: Annotated[Tokens, Meta(description="Default: 16, as at OpenAI.")] | None = None
    temperature: Temperature | None = None
    top_p: Fraction | None = None
    stop: str | list[str] | None = None
    n: Tokens | None = None
    best_of: Annotated[int, Meta(ge=0)] | None = None
    echo: bool | None = None
    stream: bool | None = None
    stream_options: TextStreamOptions | None = None
    user: str | None = None

    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: JSONObject | None = None
    seed: int | None = None
