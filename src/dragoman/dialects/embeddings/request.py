"""The body of `POST /v1/embeddings`.

Source: https://platform.openai.com/docs/api-reference/embeddings/create

Which names mean the one embedding model that there is.

The four forms of `input`, made one.

What the embeddings dialect remembers of a request until its answer is encoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.json_types import JSON

_INPUT = "A text, a list of texts, a list of token ids (`cl100k_base`), or a list of such lists."


class EmbeddingCreateRequest(Struct):
    """An embeddings request."""

    input: Annotated[str | list[JSON], Meta(description=_INPUT)]
    model: Annotated[str, Meta(description="One of OpenAI's names, or the model's own.")] | None = None
    dimensions: Annotated[int, Meta(ge=1, description="Cut the vectors to this size.")] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


OPENAI_NAMES = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")


def check_name(asked: str | None, model: str, aliases: Mapping[str, str]) -> str:
    """The name that the client used, if it means the model; the model's own where it used none.

    Args:
        asked: What the client sent.
        model: The model's own name. What follows its last `/` means it, too.
        aliases: The operator's own names for models.

    Raises:
        NotFound: `model_not_found`.
    """
    if asked is None:
        return model
    if aliases.get(asked, asked) in {*OPENAI_NAMES, model, model.rpartition("/")[2]}:
        return asked
    known = ", ".join(f"`{name}`" for name in (model, *OPENAI_NAMES))
    raise NotFound(
        f"The model `{asked[:100]}` makes no embeddings here. These names do: {known}.",
        code="model_not_found",
        param="model",
    )


MOST_INPUTS = 2048
"""OpenAI's own limit."""


def read_inputs(given: str | list[JSON]) -> tuple[str | list[int], ...]:
    """The inputs, in order.

    Raises:
        InvalidRequest: There are none or too many, one is empty, or one is neither text nor a list of tokens.
    """
    if isinstance(given, str):
        return (_text(given, "input"),)
    if not given:
        raise InvalidRequest("`input` is empty.", param="input")
    if all(_is_token(item) for item in given):
        return (cast("list[int]", given),)
    if len(given) > MOST_INPUTS:
        raise InvalidRequest(f"`input` has {len(given)} items; {MOST_INPUTS} are the most.", param="input")
    return tuple(_one(item, f"input[{place}]") for place, item in enumerate(given))


def _one(item: JSON, param: str) -> str | list[int]:
    if isinstance(item, str):
        return _text(item, param)
    if isinstance(item, list) and all(_is_token(part) for part in item):
        if not item:
            raise InvalidRequest(f"`{param}` is empty.", param=param)
        return cast("list[int]", item)
    raise InvalidRequest(f"`{param}` is neither text nor a list of token ids.", code="invalid_type", param=param)


def _text(text: str, param: str) -> str:
    if not text:
        raise InvalidRequest(f"`{param}` is an empty string.", param=param)
    return text


def _is_token(value: JSON) -> bool:
    """A non-negative whole number; JSON's true and false are numbers to Python."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsRequest:
    """An embeddings request, understood.

    Attributes:
        inputs: Texts and lists of token ids; none is empty.
        asked: The name that the client used for the model.
        dimensions: The size of vectors that it wants; none for the model's own.
        base64: Whether it wants them packed.
        warnings: What was ignored or mapped on the way.
    """

    inputs: tuple[str | list[int], ...]
    asked: str
    dimensions: int | None = None
    base64: bool = False
    warnings: tuple[RequestWarning, ...] = ()
