"""The body of `POST /v1/embeddings`.

Source: https://platform.openai.com/docs/api-reference/embeddings/create
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragoman.dialects.shared.json_types import JSON

_INPUT = "A text, a list of texts, a list of token ids (`cl100k_base`), or a list of such lists."


class EmbeddingCreateRequest(Struct):
    """An embeddings request."""

    input: Annotated[str | list[JSON], Meta(description=_INPUT)]
    model: Annotated[str, Meta(description="One of OpenAI's names, or the model's own.")] | None = None
    dimensions: Annotated[int, Meta(ge=1, description="Cut the vectors to this size.")] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
