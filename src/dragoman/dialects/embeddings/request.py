"""Decode an embeddings request."""

from collections.abc import Mapping
from typing import cast

from dragoman.core.errors import InvalidRequest, NotFound
from dragoman.core.messages import JSON
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.embeddings.schema import EmbeddingCreateRequest
from dragoman.dialects.shared.validation import convert_known, parse_json

OPENAI_NAMES = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")
"""Names of OpenAI's models that the one model of the gateway responds to."""

MAX_INPUTS = 2048
"""OpenAI's own limit."""


@value_object(kw_only=True)
class EmbeddingsRequest:
    """A decoded embeddings request.

    Attributes:
        inputs: Texts and lists of token ids, none of them empty.
        requested_model: The name that the client used for the model.
        dimensions: The size of the vectors; None: the model's own.
        base64: Whether the vectors are encoded as base64.
        warnings: What was ignored or mapped.
    """

    inputs: tuple[str | list[int], ...]
    requested_model: str
    dimensions: int | None = None
    base64: bool = False
    warnings: tuple[RequestWarning, ...] = ()


def decode_embeddings(raw: bytes, model: str, aliases: Mapping[str, str], options: DialectOptions) -> EmbeddingsRequest:
    """Decode a request body.

    Args:
        raw: The body.
        model: The model's own name.
        aliases: The operator's own names for models.
        options: The operator's settings.

    Raises:
        InvalidRequest: With the field's name in `param`.
        NotFound: The model does not create embeddings.
    """
    warnings: list[RequestWarning] = []
    data = parse_json(raw, warnings)
    request = convert_known(data, EmbeddingCreateRequest, options, warnings)
    if request.user is not None:
        warnings.append(RequestWarning("ignored", "user", "Embeddings requests are not recorded by user."))
    return EmbeddingsRequest(
        requested_model=_check_model(request.model, model, aliases),
        inputs=_inputs(request.input),
        dimensions=request.dimensions,
        base64=request.encoding_format == "base64",
        warnings=tuple(warnings),
    )


def _check_model(name: str | None, model: str, aliases: Mapping[str, str]) -> str:
    """Return the client's name for the model, or the model's own name if the client gave none.

    Raises:
        NotFound: `model_not_found`.
    """
    if name is None:
        return model
    if aliases.get(name, name) in {*OPENAI_NAMES, model, model.rpartition("/")[2]}:
        return name
    known = ", ".join(f"`{known}`" for known in (model, *OPENAI_NAMES))
    raise NotFound(
        f"The model `{name[:100]}` does not create embeddings here. Use one of {known}.",
        code="model_not_found",
        param="model",
    )


def _inputs(given: str | list[JSON]) -> tuple[str | list[int], ...]:
    """Return the inputs, in order, from any of the four forms of `input`.

    Raises:
        InvalidRequest: There are none or too many, one is empty, or one is neither text nor a list of tokens.
    """
    if isinstance(given, str):
        return (_text(given, "input"),)
    if not given:
        raise InvalidRequest("`input` is empty. Send at least one text.", param="input")
    if all(_is_token(item) for item in given):
        return (cast("list[int]", given),)
    if len(given) > MAX_INPUTS:
        raise InvalidRequest(f"`input` has {len(given)} items; at most {MAX_INPUTS} are allowed.", param="input")
    return tuple(_input(item, f"input[{index}]") for index, item in enumerate(given))


def _input(item: JSON, param: str) -> str | list[int]:
    if isinstance(item, str):
        return _text(item, param)
    if isinstance(item, list) and all(_is_token(token) for token in item):
        if not item:
            raise InvalidRequest(f"`{param}` is empty. Send text or token ids.", param=param)
        return cast("list[int]", item)
    raise InvalidRequest(f"`{param}` must be a text or a list of token ids.", code="invalid_type", param=param)


def _text(text: str, param: str) -> str:
    if not text:
        raise InvalidRequest(f"`{param}` is an empty string. Send some text.", param=param)
    return text


def _is_token(value: JSON) -> bool:
    """Return whether a value is a token id. JSON's true and false are integers in Python."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32
