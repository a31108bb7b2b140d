"""What a remote endpoint is asked, and what it answers.

What a remote endpoint's refusals mean to our clients.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

_FLOAT = 4


class _Item(Struct):
    embedding: str | list[float]
    index: int


class _Usage(Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct):
    data: list[_Item]
    usage: _Usage | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class Part:
    """One answer of the endpoint.

    Attributes:
        vectors: In the order of the inputs: 32-bit floats, little endian.
        tokens: How many tokens it says it read, if it says so.
    """

    vectors: Sequence[bytes]
    tokens: int | None


def request_body(model: str, inputs: Sequence[str | list[int]], *, voyage: bool, truncate: bool) -> bytes:
    """The question. Vectors are asked for packed, as OpenAI's own clients do: a quarter of the bytes.

    Args:
        model: The model there.
        inputs: Texts or token lists.
        voyage: Whether to ask in Voyage's dialect. It cuts long inputs unless it is told not to.
        truncate: Whether they may be cut.
    """
    asked = {"model": model, "input": inputs, "encoding_format": "base64"}
    return msgspec.json.encode(asked | {"truncation": truncate} if voyage else asked)


def part_of(raw: bytes, count: int) -> Part:
    """Understand an answer.

    Args:
        raw: Its body.
        count: How many inputs were sent.

    Raises:
        UpstreamFailed: It is not what was asked for.
    """
    try:
        answer = _ANSWERS.decode(raw)
        vectors = {item.index: _packed(item.embedding) for item in answer.data}
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, struct.error, OverflowError):
        raise _unintelligible("no embeddings") from None
    if len(answer.data) != count or vectors.keys() != set(range(count)):
        raise _unintelligible(f"other than {count} embeddings")
    if any(not vector or len(vector) % _FLOAT for vector in vectors.values()):
        raise _unintelligible("broken vectors")
    return Part([vectors[index] for index in range(count)], _tokens(answer.usage))


def _packed(embedding: str | list[float]) -> bytes:
    if isinstance(embedding, str):
        return base64.b64decode(embedding, validate=True)
    return struct.pack(f"<{len(embedding)}f", *embedding)


def _tokens(usage: _Usage | None) -> int | None:
    """Voyage says the total alone, which is the same where nothing is generated."""
    if usage is None:
        return None
    return usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens


def _unintelligible(what: str) -> UpstreamFailed:
    return UpstreamFailed(f"The embeddings endpoint answered with {what}.")


_LONGEST = 300
_QUOTA = frozenset({"insufficient_quota", "billing_not_active"})
_PLACE = re.compile(r"input\[\d+\]")
_CAUSES: Mapping[int, type[GatewayError]] = {
    400: InvalidRequest,
    402: QuotaExceeded,
    413: RequestTooLarge,
    422: InvalidRequest,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}


def refusal(status: int, raw: bytes, retry_after: str | None, key: str | None) -> GatewayError:
    """The cause, in our words and theirs.

    Args:
        status: The HTTP status.
        raw: The body, as far as it was read.
        retry_after: That header.
        key: Ours there; it never stands in what a client is told.
    """
    message, code = _said(raw)
    if key:
        message = message.replace(key, "***")
    if status in {401, 403}:
        # Not the endpoint's words: they are about a key that the client has never seen, and may quote it.
        return NotSignedIn("The embeddings endpoint refuses the gateway's key (DRAGOMAN_EMBEDDINGS_API_KEY).")
    cause = QuotaExceeded if code in _QUOTA else _CAUSES.get(status, UpstreamFailed)
    if code == ContextTooLong.default_code:
        cause = ContextTooLong
    told = f"The embeddings endpoint answered {status}" + (f": {message}" if message else ".")
    return cause(told, param="input" if issubclass(cause, InvalidRequest) else None, retry_after=_seconds(retry_after))


def _said(raw: bytes) -> tuple[str, str | None]:
    """Message and code, from any of the usual forms."""
    try:
        body = cast("JSON", msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", None
    found = body if isinstance(body, dict) else {}
    inner = found.get("error")
    error = inner if isinstance(inner, dict) else found
    said = error.get("message") or error.get("detail") or inner
    # Its places count from the beginning of a batch, ours from the beginning of the request.
    message = _PLACE.sub("an input", said[:_LONGEST]) if isinstance(said, str) else ""
    code = error.get("code")
    return message, code if isinstance(code, str) else None


def _seconds(header: str | None) -> float | None:
    """HTTP dates are left out: every such API sends seconds."""
    return float(header) if header and header.isdecimal() else None
