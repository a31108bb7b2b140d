"""Requests and responses of a remote embeddings endpoint, and its errors as errors of the gateway."""

import base64
import binascii
import re
import struct
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from dragoman.core.errors import (
    ContextTooLong,
    GatewayError,
    InvalidRequest,
    NotSignedIn,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestTooLarge,
    UpstreamFailed,
)
from dragoman.core.messages import JSON
from dragoman.core.value_object import value_object

_FLOAT_BYTES = 4
_MAX_MESSAGE = 300
"""Characters of an endpoint's error message that are passed on."""

_QUOTA_CODES = frozenset({"insufficient_quota", "billing_not_active"})
_INPUT_INDEX = re.compile(r"input\[\d+\]")
_ERRORS: Mapping[int, type[GatewayError]] = {
    400: InvalidRequest,
    402: QuotaExceeded,
    413: RequestTooLarge,
    422: InvalidRequest,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}


class _Item(Struct):
    embedding: str | list[float]
    index: int


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Response(Struct):
    data: list[_Item]
    usage: _Usage | None = None


_RESPONSES = msgspec.json.Decoder(_Response)


@value_object
class Batch:
    """The vectors of one call.

    Attributes:
        vectors: In the order of the inputs: 32-bit floats, little endian.
        tokens: The tokens that the endpoint counted, if it reports them.
    """

    vectors: Sequence[bytes]
    tokens: int | None


def request_body(model: str, inputs: Sequence[str | list[int]], *, voyage: bool, truncate: bool) -> bytes:
    """Encode a request. Vectors are requested as base64, as OpenAI's clients do: a quarter of the bytes.

    Args:
        model: The model of the endpoint.
        inputs: Texts or token lists.
        voyage: Whether to use Voyage's dialect. Voyage truncates long inputs unless the request forbids it.
        truncate: Whether inputs may be truncated.
    """
    body = {"model": model, "input": inputs, "encoding_format": "base64"}
    return msgspec.json.encode(body | {"truncation": truncate} if voyage else body)


def batch_of(raw: bytes, count: int) -> Batch:
    """Decode a response.

    Args:
        raw: Its body.
        count: The number of inputs.

    Raises:
        UpstreamFailed: It does not hold the embeddings.
    """
    try:
        response = _RESPONSES.decode(raw)
        vectors = {item.index: _packed(item.embedding) for item in response.data}
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, struct.error, OverflowError):
        raise _unexpected("no embeddings") from None
    if len(response.data) != count or vectors.keys() != set(range(count)):
        raise _unexpected(f"other than {count} embeddings")
    if any(not vector or len(vector) % _FLOAT_BYTES for vector in vectors.values()):
        raise _unexpected("broken vectors")
    tokens = None
    if usage := response.usage:
        # Voyage reports the total only, which is the same since nothing is generated.
        tokens = usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    return Batch([vectors[index] for index in range(count)], tokens)


def _packed(embedding: str | list[float]) -> bytes:
    if isinstance(embedding, str):
        return base64.b64decode(embedding, validate=True)
    return struct.pack(f"<{len(embedding)}f", *embedding)


def _unexpected(what: str) -> UpstreamFailed:
    return UpstreamFailed(f"The embeddings endpoint responded with {what}.")


def refusal(status: int, raw: bytes, retry_after: str | None, key: str | None) -> GatewayError:
    """Return the error for a response with another status than 200.

    Args:
        status: The HTTP status.
        raw: The body.
        retry_after: The header of that name. HTTP dates are ignored: every such API sends seconds.
        key: The gateway's key there. It is removed from the message.
    """
    message, code = _error_in(raw)
    if key:
        message = message.replace(key, "***")
    if status in {401, 403}:
        # Without the endpoint's message: it is about a key that the client has never seen, and may quote it.
        return NotSignedIn("The embeddings endpoint refuses the gateway's key (DRAGOMAN_EMBEDDINGS_API_KEY).")
    error = QuotaExceeded if code in _QUOTA_CODES else _ERRORS.get(status, UpstreamFailed)
    if code == ContextTooLong.default_code:
        error = ContextTooLong
    return error(
        f"The embeddings endpoint responded with status {status}" + (f": {message}" if message else "."),
        param="input" if issubclass(error, InvalidRequest) else None,
        retry_after=float(retry_after) if retry_after and retry_after.isdecimal() else None,
    )


def _error_in(raw: bytes) -> tuple[str, str | None]:
    """Return message and code of an error, in any of the usual formats."""
    try:
        body = cast("JSON", msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
    found = body if isinstance(body, dict) else {}
    inner = found.get("error")
    error = inner if isinstance(inner, dict) else found
    text = error.get("message") or error.get("detail") or inner
    # Its indices count from the start of a batch, ours from the start of the request.
    message = _INPUT_INDEX.sub("an input", text[:_MAX_MESSAGE]) if isinstance(text, str) else ""
    code = error.get("code")
    return message, code if isinstance(code, str) else None
