"""What a remote endpoint's refusals mean to our clients."""

import re
from collections.abc import Mapping
from typing import cast

import msgspec

from dragoman.errors import (
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
from dragoman.messages import JSON

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
